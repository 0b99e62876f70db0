package text

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Tokens of a Python file ("Lexical analysis" of the language reference),
// without what no program can see: where lines break within brackets, spaces
// between tokens, empty lines, and how deep an indentation is.
type Tokens struct {
	Code     []string // with "⇥" and "⇤" where blocks begin and end, "⏎" between lines
	Comments []string
}

const (
	indent  = "⇥"
	dedent  = "⇤"
	newline = "⏎"
)

var errPython = errors.New("not the tokens of Python")

// PythonTokens reads the tokens of a file.
func PythonTokens(b []byte) (Tokens, error) {
	var t Tokens
	s := strings.TrimPrefix(string(LF(b)), "\ufeff")
	var levels []int
	depth, start := 0, true
	end := func() {
		if n := len(t.Code); n > 0 && t.Code[n-1] != newline && t.Code[n-1] != indent && t.Code[n-1] != dedent {
			t.Code = append(t.Code, newline)
		}
	}
	for len(s) > 0 {
		if start {
			width, rest := indentation(s)
			s = rest
			if s == "" {
				break
			}
			if s[0] != '\n' && s[0] != '#' {
				for len(levels) > 0 && width < levels[len(levels)-1] {
					levels = levels[:len(levels)-1]
					t.Code = append(t.Code, dedent)
				}
				if width > 0 && (len(levels) == 0 || width > levels[len(levels)-1]) {
					levels = append(levels, width)
					t.Code = append(t.Code, indent)
				}
			}
			start = false
		}
		switch c := s[0]; {
		case c == '\n':
			if depth == 0 {
				end()
				start = true
			}
			s = s[1:]
		case c == ' ' || c == '\t' || c == '\f':
			s = s[1:]
		case c == '\\' && strings.HasPrefix(s, "\\\n"):
			s = s[2:]
		case c == '#':
			n := strings.IndexByte(s, '\n')
			if n < 0 {
				n = len(s)
			}
			t.Comments = append(t.Comments, strings.TrimRight(s[:n], " \t"))
			s = s[n:]
		default:
			n, err := token(s)
			if err != nil {
				return Tokens{}, err
			}
			switch s[:n] {
			case "(", "[", "{":
				depth++
			case ")", "]", "}":
				depth = max(0, depth-1)
			}
			t.Code = append(t.Code, s[:n])
			s = s[n:]
		}
	}
	end()
	return t, nil
}

func indentation(s string) (width int, rest string) {
	for i := range len(s) {
		switch s[i] {
		case ' ':
			width++
		case '\t':
			width += 8 - width%8
		case '\f':
			width = 0
		default:
			return width, s[i:]
		}
	}
	return width, ""
}

// token is the length of the token at the start of s.
func token(s string) (int, error) {
	n := 0
	for n < len(s) && n < 3 && strings.IndexByte("rRbBuUfFtT", s[n]) >= 0 {
		n++
	}
	if n < len(s) && (s[n] == '"' || s[n] == '\'') {
		return literal(s, n)
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == '_' || unicode.IsLetter(r) || r >= 0x80:
		for n = size; n < len(s); n += size {
			if r, size = utf8.DecodeRuneInString(s[n:]); r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && r < 0x80 {
				break
			}
		}
		return n, nil
	case unicode.IsDigit(r), r == '.' && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
		for n = 1; n < len(s); n++ {
			c := s[n]
			exponent := (c == '+' || c == '-') && (s[n-1]|0x20 == 'e') && !strings.HasPrefix(strings.ToLower(s), "0x")
			if c != '.' && c != '_' && !exponent && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
				break
			}
		}
		return n, nil
	}
	for _, op := range []string{"**=", "//=", ">>=", "<<=", "...", "!=", "->", ":=", "==", "<=", ">=", "**", "//", "<<", ">>", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@="} {
		if strings.HasPrefix(s, op) {
			return len(op), nil
		}
	}
	if strings.IndexByte("+-*/%@<>&|^~()[]{},:.;=!`$?", s[0]) >= 0 {
		return 1, nil
	}
	return 0, errPython
}

// literal is the length of the string that begins at s, its quotes at n.
func literal(s string, n int) (int, error) {
	quote := s[n : n+1]
	if strings.HasPrefix(s[n:], strings.Repeat(quote, 3)) {
		quote = strings.Repeat(quote, 3)
	}
	for i := n + len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\n' && len(quote) == 1:
			return 0, errPython
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote), nil
		}
	}
	return 0, errPython
}
