package native

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/truewheel/truewheel/compare/text"
)

func hexAddr(a uint64) string { return fmt.Sprintf("%#x", a) }

func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.Quote(s)
}

// minText is how long a run of printable bytes must be to count as text.
const minText = 5

// texts lists the NUL-terminated runs of printable characters of a section.
func texts(b []byte) []string {
	var out []string
	start := -1
	for i, c := range b {
		switch {
		case c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' || c == '\r':
			if start < 0 {
				start = i
			}
		default:
			if start >= 0 && i-start >= minText && c == 0 {
				out = append(out, string(b[start:i]))
			}
			start = -1
		}
	}
	if start >= 0 && len(b)-start >= minText {
		out = append(out, string(b[start:]))
	}
	return out
}

func join(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

// change says in words what two lists have each alone.
func change(a, b []string, most int) string {
	minus, plus := text.Without(a, b), text.Without(b, a)
	var out []string
	list := func(word string, l []string) {
		if len(l) == 0 {
			return
		}
		s := strings.Join(l[:min(most, len(l))], ", ")
		if len(l) > most {
			s += fmt.Sprintf(" and %d more", len(l)-most)
		}
		out = append(out, word+" "+s)
	}
	list("without", minus)
	list("with", plus)
	if len(out) == 0 && !slices.Equal(a, b) {
		return "in another order"
	}
	return strings.Join(out, "; ")
}
