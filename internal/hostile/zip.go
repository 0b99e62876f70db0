// Package hostile makes wheels that want to be misread: for the tests of the
// readers, and to show what installers do with them (docs/hostile.md).
package hostile

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// header are the fields that stand both in an entry's local header and in
// the central directory.
type header struct {
	name             string
	reader, flags    uint16
	method           uint16
	time, date       uint16
	crc              uint32
	compressed, size uint32
	extra            []byte
}

// member is an entry whose two headers can be made to disagree.
type member struct {
	local, central header
	creator        uint16
	internal       uint16
	external       uint32
	comment        string
	disk           uint16
	stream         []byte
	descriptor     []byte
	offset         int // added to the true offset
	before         []byte
	noLocal        bool
}

// file is an honest member.
func file(name, text string) *member {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write([]byte(text))
	w.Close()
	h := header{name: name, reader: 20, method: 8, time: 0, date: 40<<9 | 2<<5 | 2, crc: crc32.ChecksumIEEE([]byte(text)), compressed: uint32(b.Len()), size: uint32(len(text))}
	return &member{local: h, central: h, creator: 3<<8 | 20, external: 0o100644 << 16, stream: b.Bytes()}
}

// both changes the two headers alike.
func (m *member) both(change func(*header)) *member {
	change(&m.local)
	change(&m.central)
	return m
}

func (m *member) mode(mode uint32) *member {
	m.external = mode << 16
	return m
}

// stored keeps text uncompressed.
func (m *member) stored(text string) *member {
	m.stream = []byte(text)
	return m.both(func(h *header) { h.method, h.compressed = 0, uint32(len(text)) })
}

// described moves CRC and sizes behind the stream.
func (m *member) described() *member {
	m.both(func(h *header) { h.flags |= 1 << 3 })
	le := binary.LittleEndian
	d := le.AppendUint32(nil, 0x08074b50)
	d = le.AppendUint32(d, m.local.crc)
	d = le.AppendUint32(d, m.local.compressed)
	m.descriptor = le.AppendUint32(d, m.local.size)
	m.local.crc, m.local.compressed, m.local.size = 0, 0, 0
	return m
}

// archive is a zip in the making.
type archive struct {
	members []*member
	prefix  []byte
	between []byte // between the entries and the central directory
	comment string
	suffix  []byte
	count   int // added to the number of entries
	zip64   bool
	turned  bool // the central directory names the entries from last to first
}

func (h header) common() []byte {
	le := binary.LittleEndian
	var b []byte
	for _, v := range []uint16{h.reader, h.flags, h.method, h.time, h.date} {
		b = le.AppendUint16(b, v)
	}
	for _, v := range []uint32{h.crc, h.compressed, h.size} {
		b = le.AppendUint32(b, v)
	}
	return le.AppendUint16(le.AppendUint16(b, uint16(len(h.name))), uint16(len(h.extra)))
}

func (a *archive) bytes() []byte {
	le := binary.LittleEndian
	out := bytes.Clone(a.prefix)
	var entries [][]byte // of the central directory
	for _, m := range a.members {
		out = append(out, m.before...)
		offset := len(out) + m.offset
		if !m.noLocal {
			out = append(le.AppendUint32(out, 0x04034b50), m.local.common()...)
			out = append(append(out, m.local.name...), m.local.extra...)
			out = append(append(out, m.stream...), m.descriptor...)
		}
		entry := le.AppendUint16(le.AppendUint32(nil, 0x02014b50), m.creator)
		entry = append(entry, m.central.common()...)
		entry = le.AppendUint16(entry, uint16(len(m.comment)))
		entry = le.AppendUint16(le.AppendUint16(entry, m.disk), m.internal)
		entry = le.AppendUint32(le.AppendUint32(entry, m.external), uint32(offset))
		entries = append(entries, append(append(append(entry, m.central.name...), m.central.extra...), m.comment...))
	}
	if a.turned {
		slices.Reverse(entries)
	}
	directory := bytes.Join(entries, nil)
	out = append(out, a.between...)
	start := len(out)
	out = append(out, directory...)
	if a.zip64 {
		end := len(out)
		out = le.AppendUint64(le.AppendUint32(out, 0x06064b50), 44)
		out = le.AppendUint16(le.AppendUint16(out, 45), 45)
		out = le.AppendUint32(le.AppendUint32(out, 0), 0)
		out = le.AppendUint64(le.AppendUint64(out, uint64(len(a.members))), uint64(len(a.members)))
		out = le.AppendUint64(le.AppendUint64(out, uint64(len(directory))), uint64(start))
		out = le.AppendUint32(le.AppendUint32(out, 0x07064b50), 0)
		out = le.AppendUint32(le.AppendUint64(out, uint64(end)), 1)
	}
	out = le.AppendUint32(out, 0x06054b50)
	n := uint16(len(a.members) + a.count)
	for _, v := range []uint16{0, 0, n, n} {
		out = le.AppendUint16(out, v)
	}
	out = le.AppendUint32(le.AppendUint32(out, uint32(len(directory))), uint32(start))
	out = le.AppendUint16(out, uint16(len(a.comment)))
	return append(append(out, a.comment...), a.suffix...)
}

// honest is the wheel that the cases are made from.
func honest() *archive {
	return withRecord([]*member{
		file("demo/__init__.py", "answer = 42\n"),
		file("demo/text.txt", strings.Repeat("a line of text\n", 40)),
		file("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"),
		file("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: hand (1)\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
	})
}

// withRecord adds a RECORD that tells the truth about the members as their
// contents were before anything was changed.
func withRecord(members []*member) *archive {
	var record strings.Builder
	for _, m := range members {
		text := plain(m)
		sum := sha256.Sum256(text)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", m.central.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(text))
	}
	record.WriteString("demo-1.0.dist-info/RECORD,,\n")
	return &archive{members: append(members, file("demo-1.0.dist-info/RECORD", record.String()))}
}

func plain(m *member) []byte {
	if m.central.method == 0 {
		return m.stream
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(flate.NewReader(bytes.NewReader(m.stream))); err != nil {
		panic(err) // we made the stream
	}
	return b.Bytes()
}
