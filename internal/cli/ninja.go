package cli

import (
	"bytes"
	"io"
	"regexp"
)

// ninja reads a build's log for ninja's counter, "[12/345] ...", and passes it on.
type ninja struct {
	tell func(done, of string)
	to   io.Writer // nil: nowhere
	line []byte
}

var counter = regexp.MustCompile(`^\[(\d+)/(\d+)\] `)

func (n *ninja) Write(p []byte) (int, error) {
	if n.to != nil {
		if _, err := n.to.Write(p); err != nil {
			n.to = nil // whoever watched is gone; the build goes on
		}
	}
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			n.line = append(n.line, rest[:min(len(rest), 64)]...)
			if len(n.line) > 64 {
				n.line = n.line[:64] // the counter is what comes first
			}
			break
		}
		if m := counter.FindSubmatch(append(n.line, rest[:min(i, 64)]...)); m != nil {
			n.tell(string(m[1]), string(m[2]))
		}
		n.line, rest = nil, rest[i+1:]
	}
	return len(p), nil
}
