package wheel

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/truewheel/truewheel/pypi"
)

// Suspicions says what is odd in the archive's structure, beside what [Open]
// refuses, in the order of Entries: what no common wheel writer does, what
// installers or systems read differently, and what an envelope can't hold. No
// contents are read; [Archive.CheckRecord] does that.
func (a *Archive) Suspicions() []Suspicion {
	var out []Suspicion
	flag := func(member, format string, args ...any) {
		out = append(out, Suspicion{member, fmt.Sprintf(format, args...)})
	}
	a.oddDistInfo(flag)
	ancestors := ancestors(a.Entries)
	directories := map[string]string{} // by fold
	known := map[string]bool{}
	for i, e := range a.Entries {
		e.odd(func(format string, args ...any) { flag(e.Name, format, args...) })
		if e.IsDir() && !ancestors[e.Name] {
			flag(e.Name, "is a directory without a member: a namespace package to some installers")
		}
		if i > 0 && e.local < a.Entries[i-1].local {
			flag(e.Name, "lies elsewhere in the file than the central directory has it")
		}
		for dir := range parents(e.Name) {
			if known[dir] {
				break // and so are its own
			}
			known[dir] = true
			key := fold(dir)
			if other, ok := directories[key]; !ok {
				directories[key] = dir
			} else if other != dir {
				flag(e.Name, "lies in %q, which is %q on some file systems", dir, other)
			}
		}
	}
	return out
}

// parents yields the directories that name lies in, each with its slash, the
// innermost first.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		name := strings.TrimSuffix(name, "/")
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if !yield(name[:i+1]) {
				return
			}
		}
	}
}

// ancestors are the directories that members lie in.
func ancestors(entries []Entry) map[string]bool {
	out := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		for dir := range parents(e.Name) {
			if out[dir] {
				break // and so are its own
			}
			out[dir] = true
		}
	}
	return out
}

// oddDistInfo flags a .dist-info directory that is not named like the file
// (PEP 427), and a .data directory that is not named like that: pip follows
// it, and uv takes it for a package.
func (a *Archive) oddDistInfo(flag func(member, format string, args ...any)) {
	dir, err := a.DistInfo()
	if err != nil {
		flag("", "%v", err)
		return
	}
	stem := strings.TrimSuffix(dir, ".dist-info")
	if file, err := pypi.ParseWheelFilename(a.Filename); err == nil {
		name, version, _ := strings.Cut(stem, "-")
		n, nameErr := pypi.ParseName(name)
		v, versionErr := pypi.ParseVersion(strings.ReplaceAll(version, "_", "-"))
		if nameErr != nil || versionErr != nil || n != file.Name || v.Compare(file.Version) != 0 {
			flag(dir, "is not named like the file")
		}
	}
	told := ""
	for _, e := range a.Entries {
		if top, _, ok := strings.Cut(e.Name, "/"); ok && strings.HasSuffix(top, ".data") && top != stem+".data" && top != told {
			flag(top, "is a .data directory, not named like %s: installers disagree what it is", dir)
			told = top
		}
	}
}

// odd flags what is strange about an entry by itself.
func (e Entry) odd(flag func(format string, args ...any)) {
	mode, dos := e.Mode(), e.ExternalAttrs&0xffff
	switch {
	case mode&0o7000 != 0:
		flag("has a set-id or sticky bit (mode %06o)", mode)
	case !e.IsDir() && mode&0o111 != 0 && mode&typeMask == 0:
		flag("has mode %04o without a file type: executable to some installers only", mode)
	case e.IsDir() && mode&0o002 != 0 && e.System() != 0: // Windows knows no such modes
		flag("is a directory that everybody may write to (mode %06o)", mode)
	}
	if dos&^0x30 != 0 {
		flag("has MS-DOS attributes %#x", dos)
	}
	if e.System() != 0 && e.System() != 3 {
		flag("was made on system %d, not Windows or Unix", e.System())
	}
	if e.InternalAttrs > 1 {
		flag("has internal attributes %#x", e.InternalAttrs)
	}
	if t := e.Modified(); e.Date != dosDate(t) || e.Time != dosClock(t) {
		flag("has date %#04x and time %#04x, which are no time", e.Date, e.Time)
	}
	if e.IsDir() && e.Method != 0 {
		flag("is a directory with a stream")
	}
	if !e.IsDir() && e.Method == 0 && e.zero && e.Size > 0 {
		flag("is stored, and only its data descriptor says how long: it has no sure end to a reader that streams")
	}
	e.oddExtra("extra field", e.Extra, flag)
	e.oddExtra("extra field in its local header", e.LocalExtra, flag)
	e.oddName(flag)
}

func (e Entry) oddExtra(what string, b []byte, flag func(format string, args ...any)) {
	ids, _ := extraIDs(b) // Open took it
	for _, id := range ids {
		switch {
		case id == extraZip64:
			flag("has zip64 sizes that it does not need")
		case !slices.Contains(inertExtra, id) || !wellFormed(id, extraField(b, id)):
			flag("has an unusual %s (id %#04x, %d bytes)", what, id, len(extraField(b, id)))
		}
	}
}

// devices are what Windows takes for a device, with any extension.
var devices = []string{
	"con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9",
	"lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
}

func (e Entry) oddName(flag func(format string, args ...any)) {
	if strings.ContainsAny(e.Name, `<>"|?*`) {
		flag("has a name that Windows can't hold")
	}
	if !ascii(e.Name) && strings.ContainsFunc(e.Name, func(r rune) bool { return unicode.Is(unicode.Cf, r) }) {
		flag("has invisible characters in its name")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(e.Name, "/"), "/") {
		if stem, _, _ := strings.Cut(part, "."); slices.Contains(devices, strings.ToLower(strings.TrimRight(stem, " "))) {
			flag("has a part in its name that is a device on Windows")
		}
		if strings.TrimRight(part, ". ") != part {
			flag("has a part in its name that Windows takes for another, without the dots or spaces at its end")
		}
	}
}
