package hostile

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// What a reader has to make of a case.
const (
	Refused  = "refused"   // the archive is not read at all
	NotInert = "not inert" // it is read, and no envelope turns the honest wheel into it
	Flagged  = "flagged"   // it is read, and said to be odd, or its RECORD to be wrong
)

// Case is a hostile wheel.
type Case struct {
	Name  string // short, fit for a file name
	Why   string
	Want  string
	Bytes []byte
}

// Filename is what every case is called: they are one release.
const Filename = "demo-1.0-py3-none-any.whl"

// Honest is the wheel that the cases were made from.
func Honest() []byte { return honest().bytes() }

// HonestCompiled has a member of byte code besides.
func HonestCompiled() []byte { return compiled().bytes() }

func compiled() *archive {
	return withRecord(append(honest().members[:4], file("demo/m.pyc", "\x00byte code")))
}

func extra(id uint16, data string) []byte {
	le := binary.LittleEndian
	return append(le.AppendUint16(le.AppendUint16(nil, id), uint16(len(data))), data...)
}

// Cases are all hostile wheels, each with one thing wrong.
func Cases() []Case {
	var out []Case
	add := func(name, want, why string, change func(*archive)) {
		a := honest()
		change(a)
		out = append(out, Case{name, why, want, a.bytes()})
	}
	first := func(name, want, why string, change func(*member)) {
		add(name, want, why, func(a *archive) { change(a.members[0]) })
	}
	more := func(name, want, why string, m *member) {
		add(name, want, why, func(a *archive) {
			members := append(a.members[:4:4], m)
			*a = *withRecord(members)
		})
	}

	// names
	for _, n := range []struct{ name, path, why string }{
		{"name-parent", "../evil.py", "leaves the archive"},
		{"name-parent-inside", "demo/../../evil.py", "leaves the archive from inside"},
		{"name-absolute", "/tmp/evil.py", "absolute"},
		{"name-backslash", `demo\evil.py`, "a directory on Windows, a letter elsewhere"},
		{"name-drive", "C:evil.py", "a drive on Windows"},
		{"name-nul", "demo/evil.py\x00.txt", "C programs end it early"},
		{"name-control", "demo/\x1b[2Jevil.py", "speaks to the terminal"},
		{"name-dot", "demo/./evil.py", "another name for demo/evil.py"},
		{"name-double-slash", "demo//evil.py", "another name for demo/evil.py"},
		{"name-case", "DEMO/__init__.py", "the same file where case does not count"},
		{"name-case-file", "demo/TEXT.txt", "the same file where case does not count"},
		{"name-in-file", "demo/text.txt/evil.py", "lies in a file"},
		{"name-not-ascii", "demo/caf\u00e9.py", "not ASCII and not said to be UTF-8: read as cp437 or UTF-8"},
		{"name-not-utf8", "demo/caf\xe9.py", "no UTF-8"},
	} {
		more(n.name, Refused, n.why, file(n.path, "evil = 1\n"))
	}
	more("name-empty", Refused, "no name", file("", "evil = 1\n"))
	more("name-duplicate", Refused, "stands twice: which one counts?", file("demo/__init__.py", "answer = 43\n"))
	add("name-normal-form", Refused, "one name in two Unicode normal forms", func(a *archive) {
		utf8 := func(h *header) { h.flags |= 1 << 11 }
		*a = *withRecord(append(a.members[:4:4], file("demo/\u00e9.py", "x = 1\n").both(utf8), file("demo/e\u0301.py", "x = 2\n").both(utf8)))
	})
	first("name-unicode-path", Refused, "extra field 0x7075 gives another name", func(m *member) {
		b := binary.LittleEndian.AppendUint32([]byte{1}, crc32.ChecksumIEEE([]byte("demo/__init__.py")))
		field := extra(0x7075, string(b)+"demo/evil.py")
		m.both(func(h *header) { h.extra = field })
	})
	first("name-unicode-path-local", Refused, "the same in the local header alone", func(m *member) {
		b := binary.LittleEndian.AppendUint32([]byte{1}, crc32.ChecksumIEEE([]byte("demo/__init__.py")))
		m.local.extra = extra(0x7075, string(b)+"demo/evil.py")
	})

	// local header against central directory
	for _, d := range []struct {
		name, why string
		change    func(*header)
	}{
		{"local-name", "another name in the local header", func(h *header) { h.name = "demo/__evil__.py" }},
		{"local-flags", "other flags in the local header", func(h *header) { h.flags = 2 }},
		{"local-method", "another method in the local header", func(h *header) { h.method = 0 }},
		{"local-time", "another time in the local header", func(h *header) { h.time = 1 }},
		{"local-date", "another date in the local header", func(h *header) { h.date++ }},
		{"local-crc", "another CRC in the local header", func(h *header) { h.crc++ }},
		{"local-size", "another size in the local header", func(h *header) { h.size-- }},
		{"local-compressed", "another compressed size in the local header", func(h *header) { h.compressed-- }},
		{"local-version", "another version in the local header", func(h *header) { h.reader = 45 }},
	} {
		first(d.name, Refused, d.why, func(m *member) { d.change(&m.local) })
	}
	first("descriptor-lies", Refused, "the data descriptor says another size", func(m *member) {
		m.described()
		m.descriptor[12]++
	})
	first("descriptor-missing", Refused, "flag bit 3 and no data descriptor", func(m *member) {
		m.described()
		m.descriptor = nil
	})
	first("descriptor-unasked", Refused, "a data descriptor that no flag announces", func(m *member) {
		m.descriptor = make([]byte, 16)
	})

	// the archive's structure
	add("prefix", Refused, "bytes before the entries: a program, another zip", func(a *archive) { a.prefix = []byte("#!/bin/sh\n") })
	add("prefix-unaccounted", Refused, "bytes before the entries, offsets as if they were not there", func(a *archive) {
		a.prefix = []byte("PREFIX")
		for _, m := range a.members {
			m.offset = -6
		}
	})
	add("suffix", Refused, "bytes after the end", func(a *archive) { a.suffix = []byte("more") })
	add("suffix-archive", Refused, "a second archive after the end", func(a *archive) { a.suffix = Honest() })
	add("comment", Refused, "a comment: where does the archive end?", func(a *archive) { a.comment = "hello" })
	add("comment-directory", Refused, "a comment that is itself an end of an archive", func(a *archive) { a.comment = "PK\x05\x06" + strings.Repeat("\x00", 18) })
	first("entry-comment", Refused, "a comment of an entry", func(m *member) { m.comment = "hello" })
	add("gap", Refused, "bytes between two entries", func(a *archive) { a.members[1].before = []byte("hidden") })
	add("gap-entry", Refused, "an entry that the central directory does not list", func(a *archive) {
		hidden := &archive{members: []*member{file("demo/evil.py", "evil = 1\n")}}
		b := hidden.bytes()
		a.members[1].before = b[:bytes.Index(b, []byte("PK\x01\x02"))]
	})
	add("gap-directory", Refused, "bytes before the central directory", func(a *archive) { a.between = []byte("hidden") })
	add("overlap", Refused, "two names for one stream", func(a *archive) {
		twin := *a.members[0]
		twin.central.name, twin.noLocal = "demo/twin.py", true
		for _, m := range a.members {
			twin.offset -= 30 + len(m.local.name) + len(m.local.extra) + len(m.stream)
		}
		a.members = append(a.members, &twin)
	})
	first("offset", Refused, "an offset that is one off", func(m *member) { m.offset = 1 })
	first("disk", Refused, "on another disk", func(m *member) { m.disk = 1 })
	add("count", Refused, "more entries announced than there are", func(a *archive) { a.count = 1 })
	add("count-less", Refused, "fewer entries announced than there are", func(a *archive) { a.count = -1 })
	add("zip64-directory", Refused, "a zip64 directory that is not needed", func(a *archive) { a.zip64 = true })
	first("zip64-extra", Refused, "zip64 sizes where nobody asked for them", func(m *member) {
		m.both(func(h *header) { h.extra = extra(1, strings.Repeat("\x00", 16)) })
	})
	first("zip64-local-lies", Refused, "zip64 sizes in the local header that are not the true ones", func(m *member) {
		m.local.extra = extra(1, strings.Repeat("\x07", 16))
		m.local.compressed, m.local.size = 0xffffffff, 0xffffffff
	})
	first("zip64-twice", Refused, "two zip64 fields in the local header, the second lies", func(m *member) {
		true64 := binary.LittleEndian.AppendUint64(nil, uint64(m.local.size))
		true64 = binary.LittleEndian.AppendUint64(true64, uint64(m.local.compressed))
		m.local.extra = append(extra(1, string(true64)), extra(1, strings.Repeat("\x07", 16))...)
		m.local.compressed, m.local.size = 0xffffffff, 0xffffffff
	})
	first("extra-malformed", Refused, "an extra field that is longer than it is", func(m *member) {
		m.both(func(h *header) { h.extra = []byte{0x55, 0x54, 0xff, 0x00, 1} })
	})

	// contents
	first("encrypted", Refused, "encrypted", func(m *member) { m.both(func(h *header) { h.flags |= 1 }) })
	first("flag-patch", Refused, "flag bit 5: patched data", func(m *member) { m.both(func(h *header) { h.flags |= 1 << 5 }) })
	first("flag-masked", Refused, "flag bit 13: masked headers", func(m *member) { m.both(func(h *header) { h.flags |= 1 << 13 }) })
	first("method-bzip2", Refused, "compression method 12", func(m *member) { m.both(func(h *header) { h.method = 12 }) })
	first("method-zstd", Refused, "compression method 93", func(m *member) { m.both(func(h *header) { h.method = 93 }) })
	first("version-future", Refused, "says that zip 25.5 is needed to read it", func(m *member) { m.both(func(h *header) { h.reader = 255 }) })
	first("crc", Refused, "the CRC is another one", func(m *member) { m.both(func(h *header) { h.crc++ }) })
	first("size", Refused, "the size is another one", func(m *member) { m.both(func(h *header) { h.size-- }) })
	first("stream-trailing", Refused, "bytes after the end of the stream", func(m *member) {
		m.stream = append(m.stream, "hidden"...)
		m.both(func(h *header) { h.compressed += 6 })
	})
	first("stream-cut", Refused, "the stream is cut off", func(m *member) {
		m.stream = m.stream[:len(m.stream)-2]
		m.both(func(h *header) { h.compressed -= 2 })
	})
	first("stored-sizes", Refused, "stored, with two sizes", func(m *member) {
		m.stored("answer = 42\n").both(func(h *header) { h.size-- })
	})
	more("bomb", Refused, "says 3 GB in a few bytes", file("demo/bomb.bin", "x").both(func(h *header) { h.size = 3 << 30 }))
	bomb := file("demo/bomb.bin", "ab")
	bomb.stream = zeros(64 << 20)
	more("bomb-real", Refused, "64 MB that say they are 2 bytes", bomb.both(func(h *header) { h.compressed = uint32(len(bomb.stream)) }))

	// modes
	for _, m := range []struct {
		name, want, why string
		mode            uint32
	}{
		{"mode-symlink", Refused, "a symbolic link", 0o120777},
		{"mode-device", Refused, "a device", 0o020644},
		{"mode-fifo", Refused, "a pipe", 0o010644},
		{"mode-directory", Refused, "a file with the mode of a directory", 0o040755},
		{"mode-exec", NotInert, "executable, where the source says it is not", 0o100755},
		{"mode-exec-untyped", NotInert, "0755 without a file type: 644 to some installers, 755 to others", 0o755},
		{"mode-setuid", NotInert, "set-uid", 0o104644},
		{"mode-sticky", NotInert, "sticky", 0o101644},
	} {
		first(m.name, m.want, m.why, func(e *member) { e.mode(m.mode) })
	}
	first("mode-dos-directory", Refused, "marked as a directory in MS-DOS attributes", func(m *member) { m.external |= 0x10 })
	first("mode-dos-hidden", NotInert, "hidden, in MS-DOS attributes", func(m *member) { m.external |= 0x02 })
	first("system-strange", NotInert, "made on a system that gives the mode another meaning", func(m *member) { m.creator = 19<<8 | 20 })
	first("internal", NotInert, "internal attributes that nobody knows", func(m *member) { m.internal = 0x80 })
	first("extra-unknown", NotInert, "an extra field that nobody knows", func(m *member) {
		m.both(func(h *header) { h.extra = extra(0xbeef, "hi") })
	})
	first("extra-acl", NotInert, "an extra field with access rights (Windows)", func(m *member) { m.both(func(h *header) { h.extra = extra(0x4453, "rights") }) })

	// directories
	directory := func(name string, mode uint32) func(*archive) {
		return func(a *archive) {
			d := file(name, "").stored("").mode(mode)
			a.members = append(a.members, d)
		}
	}
	add("directory-empty", NotInert, "a directory without a member: a namespace package appears", directory("evil/", 0o040755))
	add("directory-writable", NotInert, "a directory that everybody may write to", directory("demo/", 0o040777))
	add("directory-sticky", NotInert, "a directory with the sticky bit", directory("demo/", 0o041755))
	add("directory-hidden", NotInert, "a directory hidden in MS-DOS attributes", func(a *archive) {
		d := file("demo/", "").stored("").mode(0o040755)
		d.external |= 0x12
		a.members = append(a.members, d)
	})
	add("directory-system", NotInert, "a directory made on a system that gives the mode another meaning", func(a *archive) {
		d := file("demo/", "").stored("").mode(0o040755)
		d.creator = 19<<8 | 20
		a.members = append(a.members, d)
	})
	add("directory-compressed", NotInert, "a directory with a stream", func(a *archive) {
		d := file("demo/", "").mode(0o040755).both(func(h *header) { h.compressed = 2 })
		d.stream = []byte{3, 0}
		a.members = append(a.members, d)
	})
	add("directory-of-file", Refused, "a directory with a file's name", directory("demo/text.txt/", 0o040755))

	// what an envelope has no words for
	first("time-none", NotInert, "a date of month 0 and day 0", func(m *member) { m.both(func(h *header) { h.date = 0 }) })
	first("time-overflow", NotInert, "30 February, 25 o'clock", func(m *member) {
		m.both(func(h *header) { h.date, h.time = 40<<9|2<<5|30, 25<<11 })
	})
	add("order-local", NotInert, "the entries lie in another order than the directory names them", func(a *archive) { a.turned = true })

	// times of byte code
	b := compiled()
	b.members[4].both(func(h *header) { h.time++ })
	out = append(out, Case{"time-pyc", "another time beside byte code, which is valid or not by times", NotInert, b.bytes()})

	// RECORD
	record := func(name, why string, change func(string) string) {
		add(name, Flagged, why, func(a *archive) {
			text := change(string(plain(a.members[4])))
			a.members[4] = file("demo-1.0.dist-info/RECORD", text)
		})
	}
	record("record-hash", "RECORD has another hash", func(s string) string { return strings.Replace(s, "sha256=", "sha256=AAAA", 1) })
	record("record-size", "RECORD has another size", func(s string) string { return strings.Replace(s, ",12\n", ",13\n", 1) })
	record("record-missing", "RECORD misses a file", func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest })
	record("record-twice", "RECORD names a file twice", func(s string) string { line, _, _ := strings.Cut(s, "\n"); return line + "\n" + s })
	record("record-more", "RECORD names a file that is not there", func(s string) string { return "demo/ghost.py,sha256=AAAA,1\n" + s })
	record("record-no-hash", "RECORD has no hash for a file", func(s string) string {
		line, rest, _ := strings.Cut(s, "\n")
		name, _, _ := strings.Cut(line, ",")
		return name + ",,\n" + rest
	})
	record("record-md5", "RECORD has a weak hash", func(s string) string {
		line, rest, _ := strings.Cut(s, "\n")
		name, _, _ := strings.Cut(line, ",")
		return name + ",md5=1B2M2Y8AsgTpgAmY7PhCfg,12\n" + rest
	})
	record("record-sha512", "RECORD has another sha512", func(s string) string {
		line, rest, _ := strings.Cut(s, "\n")
		name, _, _ := strings.Cut(line, ",")
		return name + ",sha512=" + strings.Repeat("A", 86) + ",12\n" + rest
	})
	record("record-malformed", "RECORD is no CSV of three fields", func(s string) string { return "demo/__init__.py\n" + s })
	return append(append(out, strangeNames()...), strangeWheels()...)
}

// zeros is the stream of n zero bytes.
func zeros(n int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(make([]byte, n))
	w.Close()
	return b.Bytes()
}
