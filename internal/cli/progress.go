package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// progress shows what goes on: one live line on a terminal, plain lines
// elsewhere, nothing when quiet.
type progress struct {
	w    io.Writer
	live bool

	mu    sync.Mutex // guards what follows
	done  int
	total int
	now   []string // what is being done, oldest first
	shown bool
}

func newProgress(w io.Writer, total int, quiet bool) *progress {
	p := &progress{w: w, total: total, live: isTerminal(w)}
	if quiet {
		p.w = nil
	}
	return p
}

// stage says that the work on name has come to a stage; "" ends it.
func (p *progress) stage(name, stage string) {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = slices.DeleteFunc(p.now, func(s string) bool { return strings.HasPrefix(s, name+" ") })
	if stage == "" {
		p.done++
	} else {
		p.now = append(p.now, name+" "+stage)
	}
	p.show()
}

func (p *progress) show() {
	if !p.live {
		return
	}
	line := strings.Join(p.now, "   ")
	if p.total > 1 {
		line = fmt.Sprintf("[%d/%d] %s", p.done, p.total, line)
	}
	if r := []rune(line); len(r) > 100 {
		line = string(r[:99]) + "…"
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", printable(line))
	p.shown = true
}

// clear takes the live line away, before something else is printed.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
