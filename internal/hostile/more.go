package hostile

import (
	"encoding/binary"
	"strings"
)

// utf8 says that m's name is UTF-8.
func (m *member) utf8() *member {
	return m.both(func(h *header) { h.flags |= 1 << 11 })
}

// strangeNames are names that mean one thing here and another elsewhere.
func strangeNames() []Case {
	var out []Case
	for _, n := range []struct{ name, want, path, why string }{
		{"name-parent-space", Refused, "demo/.. /.. /evil.py", "leaves the archive on Windows, which drops spaces at the end"},
		{"name-dots", Refused, "demo/.../evil.py", "another name for demo/evil.py on Windows, which drops dots at the end"},
		{"name-end-dot", Refused, "demo/__init__.py.", "the same file on Windows, which drops dots at the end"},
		{"name-end-space", Refused, "demo/__init__.py ", "the same file on Windows, which drops spaces at the end"},
		{"name-end-dot-alone", Flagged, "demo/evil.py.", "demo/evil.py on Windows, which drops dots at the end"},
		{"name-newline", Refused, "demo/evil\n.py", "a name of two lines: RECORD, as pip reads it, has two names"},
		{"name-next-line", Refused, "demo/evil\u0085.py", "a name of two lines to Python's splitlines"},
		{"name-line-separator", Refused, "demo/evil\u2028.py", "a name of two lines to Python's splitlines"},
		{"name-invisible", Refused, "demo/__in\u200dit__.py", "the same file on HFS+, which ignores invisible characters"},
		{"name-invisible-alone", Flagged, "demo/ev\u200dil.py", "demo/evil.py on HFS+, which ignores invisible characters"},
		{"name-bidi", Flagged, "demo/\u202eyp.live", "is shown as demo/evil.py: it turns the direction of writing"},
		{"name-fullwidth", Refused, "demo/\uff54ext.txt", "the same file where letters are taken in their compatible form"},
		{"name-case-directory", Flagged, "DEMO/evil.py", "in demo where case does not count"},
		{"name-device", Flagged, "demo/aux.py", "a device on Windows"},
		{"name-star", Flagged, "demo/*.py", "a name that Windows can't hold; Python's zipfile makes it _ there"},
		{"name-deep", Refused, strings.Repeat("d/", 200) + "evil.py", "200 directories deep"},
		{"name-long", Refused, "demo/" + strings.Repeat("d", 2000) + ".py", "of 2,000 letters"},
		{"data-other-name", Flagged, "evil-2.0.data/data/evil.py", "a .data directory of another name: a scheme to pip, a package to uv"},
	} {
		m := file(n.path, "evil = 1\n")
		if strings.ContainsFunc(n.path, func(r rune) bool { return r > 0x7e }) {
			m.utf8()
		}
		a := withRecord(append(honest().members[:4], m))
		out = append(out, Case{n.name, n.why, n.want, a.bytes()})
	}
	return out
}

// strangeWheels are archives that are no proper wheel, and fields that an
// envelope may hold in a shape that it may not.
func strangeWheels() []Case {
	var out []Case
	add := func(name, want, why string, change func(*archive)) {
		a := honest()
		change(a)
		out = append(out, Case{name, why, want, a.bytes()})
	}
	add("dist-info-none", Refused, "no .dist-info", func(a *archive) { *a = *withRecord(a.members[:2]); a.members = a.members[:2] })
	add("dist-info-two", Refused, "two .dist-info directories: which one counts?", func(a *archive) {
		*a = *withRecord(append(a.members[:4:4], file("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")))
	})
	for _, d := range []struct{ name, dir, why string }{
		{"dist-info-name", "evil-1.0.dist-info", ".dist-info of another project"},
		{"dist-info-version", "demo-2.0.dist-info", ".dist-info of another version"},
	} {
		add(d.name, Flagged, d.why, func(a *archive) {
			for _, m := range a.members {
				m.both(func(h *header) { h.name = strings.Replace(h.name, "demo-1.0.dist-info", d.dir, 1) })
			}
			record := strings.ReplaceAll(string(plain(a.members[4])), "demo-1.0.dist-info", d.dir)
			a.members[4] = file(d.dir+"/RECORD", record)
		})
	}
	add("record-none", Flagged, "no RECORD", func(a *archive) { a.members = a.members[:4] })
	add("record-not-utf8", Flagged, "RECORD is not UTF-8", func(a *archive) {
		a.members[4] = file("demo-1.0.dist-info/RECORD", "caf\xe9.py,,\n"+string(plain(a.members[4])))
	})
	add("extra-time-stuffed", NotInert, "an extended timestamp that holds more than times", func(a *archive) {
		a.members[0].both(func(h *header) { h.extra = extra(0x5455, "\x01\x00\x00\x00\x00hidden") })
	})
	add("extra-owner-stuffed", NotInert, "Unix ids that hold more than ids", func(a *archive) {
		a.members[0].both(func(h *header) { h.extra = extra(0x7875, "\x01\x00\x00hidden") })
	})
	add("descriptor-stored", NotInert, "stored, its length in a data descriptor alone, and another one in its contents", func(a *archive) {
		text := "answer = 43\n#PK\x07\x08" + strings.Repeat("\x00", 12) + "\n"
		*a = *withRecord(append([]*member{file("demo/__init__.py", text).stored(text).described()}, a.members[1:4]...))
	})
	return out
}

// Inert are wheels that differ from the honest one in one field that an
// envelope may hold: installers have to make the same of them, and the honest
// wheel's contents replay to them.
func Inert() []Case {
	var out []Case
	add := func(name, why string, change func(*archive)) {
		a := honest()
		change(a)
		out = append(out, Case{name, why, "inert", a.bytes()})
	}
	first := func(name, why string, change func(*member)) {
		add(name, why, func(a *archive) { change(a.members[0]) })
	}
	first("time", "another time", func(m *member) { m.both(func(h *header) { h.date, h.time = 30<<9|1<<5|1, 12<<11 }) })
	first("mode-0664", "writable for the group", func(m *member) { m.mode(0o100664) })
	first("mode-0666", "writable for all, as Windows has it", func(m *member) { m.mode(0o100666) })
	first("mode-0600", "readable for its owner alone", func(m *member) { m.mode(0o100600) })
	first("mode-untyped", "no file type", func(m *member) { m.mode(0o664) })
	first("mode-none", "no mode at all", func(m *member) { m.mode(0) })
	first("creator-version", "made by zip 6.3", func(m *member) { m.creator = 3<<8 | 63 })
	first("creator-windows", "made on Windows", func(m *member) { m.creator = 20 })
	first("reader-old", "zip 1.0 is said to be enough", func(m *member) { m.both(func(h *header) { h.reader = 10 }) })
	first("reader-new", "zip 6.3 is said to be needed", func(m *member) { m.both(func(h *header) { h.reader = 63 }) })
	first("flags-level", "flag bits 1 and 2: deflate's level", func(m *member) { m.both(func(h *header) { h.flags = 6 }) })
	first("flags-utf8", "flag bit 11 for a name in ASCII", func(m *member) { m.utf8() })
	first("internal-text", "internal attributes: a text", func(m *member) { m.internal = 1 })
	first("extra-time", "an extended timestamp", func(m *member) {
		m.both(func(h *header) { h.extra = extra(0x5455, "\x01\x00\x00\x00\x5e") })
	})
	first("extra-owner", "Unix ids", func(m *member) {
		m.both(func(h *header) { h.extra = extra(0x7875, "\x01\x04\xe8\x03\x00\x00\x04\xe8\x03\x00\x00") })
	})
	first("zip64-local", "zip64 sizes in the local header, the true ones", func(m *member) {
		le := binary.LittleEndian
		m.both(func(h *header) { h.reader = 45 })
		m.local.extra = extra(1, string(le.AppendUint64(le.AppendUint64(nil, uint64(m.local.size)), uint64(m.local.compressed))))
		m.local.compressed, m.local.size = 0xffffffff, 0xffffffff
	})
	first("descriptor", "sizes in a data descriptor alone", func(m *member) { m.described() })
	first("descriptor-known", "sizes in a data descriptor too", func(m *member) {
		local := m.local
		m.described()
		m.local.crc, m.local.compressed, m.local.size = local.crc, local.compressed, local.size
	})
	first("descriptor-unsigned", "a data descriptor without its signature", func(m *member) {
		m.described()
		m.descriptor = m.descriptor[4:]
	})
	first("descriptor-long", "a data descriptor with sizes of 8 bytes, and zip64 sizes of zero, as Python writes to a pipe", func(m *member) {
		le := binary.LittleEndian
		m.described().both(func(h *header) { h.reader = 45 })
		m.local.extra = extra(1, strings.Repeat("\x00", 16))
		m.local.compressed, m.local.size = 0xffffffff, 0xffffffff
		m.descriptor = le.AppendUint32(m.descriptor[:4:4], m.central.crc)
		m.descriptor = le.AppendUint64(le.AppendUint64(m.descriptor, uint64(m.central.compressed)), uint64(m.central.size))
	})
	first("stored", "stored, not deflated", func(m *member) { m.stored("answer = 42\n") })
	add("order", "another order", func(a *archive) { a.members[0], a.members[3] = a.members[3], a.members[0] })
	add("directory", "an entry for a directory that members lie in", func(a *archive) {
		d := file("demo/", "").stored("").mode(0o040755)
		d.external |= 0x10
		a.members = append([]*member{d}, a.members...)
	})
	return out
}
