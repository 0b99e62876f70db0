package source

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// program is what a Python text does, as far as its tokens tell.
type program struct {
	words   []string // keywords that do something
	calls   []string // names before an opening parenthesis; "" where something else is called
	imports []string // modules
}

// harmless keywords: they do nothing by themselves.
var harmless = []string{"True", "False", "None", "if", "else", "import", "from", "as", "and", "or", "not", "in", "is"}

var keywords = []string{"def", "class", "lambda", "async", "await", "for", "while", "with", "try", "except", "finally", "raise", "return", "yield", "del", "global", "nonlocal", "assert", "exec", "pass", "print", "match", "type"}

// typing are modules of names for type checkers.
var typing = []string{"typing", "__future__", "setuptools", "distutils.core"}

// literal reports whether a program is assignments of literals, and calls of
// the functions allowed.
func (p program) literal(allowed []string) bool {
	for _, name := range p.calls {
		if !slices.Contains(allowed, name) {
			return false
		}
	}
	for _, m := range p.imports {
		if !slices.Contains(typing, m) {
			return false
		}
	}
	return len(p.words) == 0
}

// coding is a declaration of the encoding (PEP 263).
var coding = regexp.MustCompile(`^(?:[^\n]*\n)?[ \t\f]*#[^\n]*?coding[:=][ \t]*([-\w.]+)`)

// scan reads the tokens of a Python text; ok is false when it holds what this
// simple reader does not know.
func scan(text string) (p program, ok bool) {
	if m := coding.FindStringSubmatch(text); m != nil && !slices.Contains([]string{"utf-8", "utf8", "ascii", "us-ascii"}, strings.ToLower(m[1])) {
		return p, false // by another encoding there may be code where none is seen here
	}
	r := []rune(strings.ReplaceAll(text, "\r\n", "\n"))
	var line []string // tokens of this line
	last := ""        // token before this one: a name, "s" for a string, or an operator
	end := func() {
		if to := slices.Index(line, "import"); to >= 0 {
			if from := slices.Index(line[:to], "from"); from >= 0 {
				p.imports = append(p.imports, strings.Join(line[from+1:to], ""))
			} else {
				p.imports = append(p.imports, strings.Join(line[to+1:], ""))
			}
		}
		line = line[:0]
	}
	for i := 0; i < len(r); {
		c := r[i]
		switch {
		case c == '\n':
			end()
			i++
		case c == ' ' || c == '\t' || c == '\f':
			i++
		case c == '\\' && i+1 < len(r) && r[i+1] == '\n':
			i += 2
		case c == '#':
			for i < len(r) && r[i] != '\n' {
				i++
			}
		case c == '\'' || c == '"':
			if i, ok = skipString(r, i); !ok {
				return p, false
			}
			last = "s"
			line = append(line, last)
		case unicode.IsLetter(c) || c == '_' || unicode.IsDigit(c):
			start := i
			for i < len(r) && (unicode.IsLetter(r[i]) || unicode.IsDigit(r[i]) || r[i] == '_') {
				i++
			}
			word := string(r[start:i])
			if i < len(r) && (r[i] == '\'' || r[i] == '"') {
				// A prefix of a string; f-strings hold code.
				if strings.ContainsAny(word, "fFtT") {
					return p, false
				}
				continue
			}
			if slices.Contains(keywords, word) {
				p.words = append(p.words, word)
			}
			last = word
			line = append(line, word)
		case strings.ContainsRune("()[]{},.:=|+-*/%<>!~&", c):
			if c == '(' && last != "" && !strings.ContainsAny(last, "([{,=:|+-*/%<>!~&") && !slices.Contains(harmless, last) {
				name := last
				if last == "s" || last == ")" || last == "]" || last == "}" || last == "." {
					name = ""
				}
				if len(line) > 1 && line[len(line)-2] == "." {
					name = "" // a method, of whatever
				}
				p.calls = append(p.calls, name)
			}
			last = string(c)
			line = append(line, last)
			i++
		default:
			return p, false // decorators, statements after a semicolon, walrus and the like
		}
	}
	end()
	return p, true
}

// skipString goes to the end of the string that begins at i.
func skipString(r []rune, i int) (int, bool) {
	q := r[i]
	if i+2 < len(r) && r[i+1] == q && r[i+2] == q {
		for i += 3; i+2 < len(r); i++ {
			switch {
			case r[i] == '\\':
				i++
			case r[i] == q && r[i+1] == q && r[i+2] == q:
				return i + 3, true
			}
		}
		return i, false
	}
	for i++; i < len(r) && r[i] != '\n'; i++ {
		switch r[i] {
		case '\\':
			i++
		case q:
			return i + 1, true
		}
	}
	return i, false
}
