package wheel

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
)

// EnvelopeSchema names the format of an envelope (docs/formats/envelope.md).
const EnvelopeSchema = "truewheel.envelope/1"

// Envelope is what a zip holds beside names and contents: order, times,
// modes, versions, flags, extra fields, directory entries and how each
// stream was made. It holds only inert values: nothing that an installer or
// importer acts on. [NewEnvelope] and [Replay] both check that against the
// wheel whose contents are packed:
//
//   - the execute bits are the same, set-id and sticky bits are not set; the
//     file type differs only between none and regular, and the system that
//     made the entry only at all, where no execute bit is set (installers
//     disagree about what such a mode means);
//   - directories are ancestors of members, in the rebuilt wheel too;
//   - no time differs when a member is byte code (.pyc, .pyo), which is
//     valid or not by times;
//   - a stored member leaves its sizes to a data descriptor only where the
//     rebuilt one does (a reader that streams finds no end of it);
//   - extra fields are those in [inertExtra], of the shape that they have.
//
// What [Replay] writes is always an archive that [Open] takes.
type Envelope struct {
	Schema   string          `json:"schema"`
	Default  EnvelopeEntry   `json:"default"` // what most entries say; Name is empty
	Entries  []EnvelopeEntry `json:"entries"` // in the archive's order; a field that is absent is the default's
	Filename string          `json:"filename"`
	SHA256   string          `json:"sha256"` // of the archive that results, lower-case hex
}

// EnvelopeEntry is one entry's share. Absent fields are nil.
type EnvelopeEntry struct {
	Name       string  `json:"name,omitempty"`
	Time       *string `json:"time,omitempty"` // MS-DOS time without zone, 2006-01-02T15:04:05
	Creator    *uint16 `json:"creator,omitempty"`
	Reader     *uint16 `json:"reader,omitempty"`
	Flags      *uint16 `json:"flags,omitempty"`
	Internal   *uint16 `json:"internal,omitempty"`
	External   *uint32 `json:"external,omitempty"`
	Extra      *string `json:"extra,omitempty"` // hex
	LocalExtra *string `json:"local_extra,omitempty"`
	Descriptor *int    `json:"descriptor,omitempty"`
	Sizes      *string `json:"sizes,omitempty"`   // of a local header with a descriptor: "known" or "zero"
	Encoder    *string `json:"encoder,omitempty"` // "rebuilt", "stored", or a name that [Encoders] know
}

// EncoderRebuilt takes the stream of the rebuilt wheel as it is.
const (
	EncoderRebuilt = "rebuilt"
	EncoderStored  = "stored"
)

// Encoders know how deflate streams are made, bit for bit (package wheel/deflate).
type Encoders interface {
	// Find names the encoder that turns plain into exactly stream.
	Find(ctx context.Context, plain func() (io.ReadCloser, error), stream func() io.Reader) (name string, ok bool, err error)
	// Encode writes the stream that the named encoder makes of src.
	Encode(ctx context.Context, name string, dst io.Writer, src io.Reader) error
}

// NotInertError says which field keeps an envelope from being inert.
type NotInertError struct {
	Member, Field, Detail string
}

func (e *NotInertError) Error() string {
	return fmt.Sprintf("%s of %q can't be replayed: %s", e.Field, e.Member, e.Detail)
}

// EncoderError says that no known encoder makes a member's stream.
type EncoderError struct{ Member string }

func (e *EncoderError) Error() string {
	return fmt.Sprintf("no known encoder makes the deflate stream of %q", e.Member)
}

// ContentError says that two wheels differ in more than the container.
type ContentError struct{ Member, Detail string }

func (e *ContentError) Error() string { return fmt.Sprintf("%q %s", e.Member, e.Detail) }

// inertExtra are the extra fields that no installer acts on: zip64 sizes
// (consistent, [Open] checks that), extended timestamps, Unix user ids.
var inertExtra = []uint16{extraZip64, extraTime, extraOwner}

const (
	extraTime  = 0x5455
	extraOwner = 0x7875
)

// NewEnvelope describes subject so that [Replay] makes it, byte for byte, of
// rebuilt. enc may be nil: then streams have to be those of rebuilt. The
// error is a *NotInertError, *EncoderError or *ContentError when there is no
// such envelope.
func NewEnvelope(ctx context.Context, subject, rebuilt *Archive, sha256 string, enc Encoders) (*Envelope, error) {
	at, err := sameContents(ctx, subject, rebuilt)
	if err != nil {
		return nil, err
	}
	if err := subject.inLocalOrder(); err != nil {
		return nil, err
	}
	e := &Envelope{Schema: EnvelopeSchema, Filename: subject.Filename, SHA256: sha256}
	for i, entry := range subject.Entries {
		full := describe(entry)
		if entry.zero {
			full.Sizes = ptr("zero")
		}
		if err := replayable(entry); err != nil {
			return nil, err
		}
		encoder := EncoderStored
		if entry.Method == 8 {
			if encoder, err = subject.encoder(ctx, i, rebuilt, at, enc); err != nil {
				return nil, err
			}
		}
		full.Encoder = &encoder
		e.Entries = append(e.Entries, full)
	}
	if err := e.inert(rebuilt); err != nil {
		return nil, err
	}
	e.hoist()
	return e, nil
}

func ptr[T any](v T) *T { return &v }

// describe is everything about an entry but its encoder.
func describe(entry Entry) EnvelopeEntry {
	return EnvelopeEntry{
		Name: entry.Name, Time: ptr(entry.Modified().Format(dosTime)),
		Creator: ptr(entry.CreatorVersion), Reader: ptr(entry.ReaderVersion), Flags: ptr(entry.Flags),
		Internal: ptr(entry.InternalAttrs), External: ptr(entry.ExternalAttrs),
		Extra: ptr(hex.EncodeToString(entry.Extra)), LocalExtra: ptr(hex.EncodeToString(entry.LocalExtra)),
		Descriptor: ptr(entry.Descriptor), Sizes: ptr("known"), Encoder: ptr(EncoderStored),
	}
}

const dosTime = "2006-01-02T15:04:05"

// replayable refuses what an envelope has no words for.
func replayable(entry Entry) error {
	if t := entry.Modified(); entry.Date != dosDate(t) || entry.Time != dosClock(t) {
		return &NotInertError{entry.Name, "time", fmt.Sprintf("date %#04x, time %#04x are no time", entry.Date, entry.Time)}
	}
	if entry.IsDir() && entry.Method != 0 {
		return &NotInertError{entry.Name, "directory entry", "it is compressed"}
	}
	return nil
}

func dosDate(t time.Time) uint16 {
	return uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day())
}

func dosClock(t time.Time) uint16 {
	return uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
}

// inLocalOrder refuses an archive whose entries lie in another order than
// the central directory names them.
func (a *Archive) inLocalOrder() error {
	for i := 1; i < len(a.Entries); i++ {
		if e := a.Entries[i]; e.local < a.Entries[i-1].local {
			return &NotInertError{e.Name, "order", "it lies elsewhere than the central directory has it"}
		}
	}
	return nil
}

// sameContents maps the names of subject's files to rebuilt's entries, all equal.
func sameContents(ctx context.Context, subject, rebuilt *Archive) (map[string]int, error) {
	at := rebuilt.files()
	// What is the same as stored is so without inflating it.
	err := match(subject, rebuilt, at, func(i, j int) (bool, error) {
		e, m := subject.Entries[i], rebuilt.Entries[j]
		if m.Method != e.Method || m.Size != e.Size || m.CRC32 != e.CRC32 || ctx.Err() != nil {
			return false, ctx.Err()
		}
		return equalStreams(subject.Stream(i), rebuilt.Stream(j))
	})
	var other *ContentError
	if !errors.As(err, &other) {
		return at, err
	}
	x, err := subject.Sums(ctx)
	if err != nil {
		return nil, err
	}
	y, err := rebuilt.Sums(ctx)
	if err != nil {
		return nil, err
	}
	return at, match(subject, rebuilt, at, func(i, j int) (bool, error) { return x[i] == y[j], nil })
}

// match compares files by name with same, which gets indexes of entries; at
// maps rebuilt's names to them. A *ContentError says which is not the same.
func match(subject, rebuilt *Archive, at map[string]int, same func(i, j int) (bool, error)) error {
	n := 0
	for i, e := range subject.Entries {
		if e.IsDir() {
			continue
		}
		n++
		j, ok := at[e.Name]
		if !ok {
			return &ContentError{e.Name, "is not in the rebuilt wheel"}
		}
		equal, err := same(i, j)
		if err != nil {
			return err
		}
		if !equal {
			return &ContentError{e.Name, "has other contents"}
		}
	}
	if n != len(at) {
		return &ContentError{rebuilt.Filename, "has members that the subject has not"}
	}
	return nil
}

// files maps names to indexes, directories left out.
func (a *Archive) files() map[string]int {
	at := make(map[string]int, len(a.Entries))
	for i, e := range a.Entries {
		if !e.IsDir() {
			at[e.Name] = i
		}
	}
	return at
}

// encoder says how to make the stream of entry i.
func (a *Archive) encoder(ctx context.Context, i int, rebuilt *Archive, at map[string]int, enc Encoders) (string, error) {
	e := a.Entries[i]
	if j, ok := at[e.Name]; ok && rebuilt.Entries[j].Method == 8 {
		same, err := equalStreams(a.Stream(i), rebuilt.Stream(j))
		if err != nil {
			return "", err
		}
		if same {
			return EncoderRebuilt, nil
		}
	}
	if enc != nil {
		name, ok, err := enc.Find(ctx, func() (io.ReadCloser, error) { return a.Contents(i) }, func() io.Reader { return a.Stream(i) })
		if err != nil {
			return "", err
		}
		if ok {
			return name, nil
		}
	}
	return "", &EncoderError{e.Name}
}

func equalStreams(a, b *io.SectionReader) (bool, error) {
	if a.Size() != b.Size() {
		return false, nil
	}
	x, y := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(a, x)
		if n == 0 && errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return false, err
		}
		if _, err := io.ReadFull(b, y[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:n]) {
			return false, nil
		}
	}
}

// inert checks all entries, completed, against the whitelist.
func (e *Envelope) inert(rebuilt *Archive) error {
	at := rebuilt.files()
	pyc := slices.ContainsFunc(rebuilt.Entries, func(e Entry) bool {
		name := strings.ToLower(e.Name)
		return strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, ".pyo")
	})
	ancestors := ancestors(rebuilt.Entries)
	for _, own := range rebuilt.Entries {
		if own.IsDir() && !ancestors[own.Name] {
			return &NotInertError{own.Name, "directory entry", "the rebuilt wheel has it, and no member lies in it"}
		}
	}
	for _, entry := range e.Entries {
		if strings.HasSuffix(entry.Name, "/") {
			if err := entry.inertDirectory(ancestors); err != nil {
				return err
			}
		}
		j, ok := at[entry.Name]
		if !ok && !strings.HasSuffix(entry.Name, "/") {
			return &ContentError{entry.Name, "is not in the rebuilt wheel"}
		}
		if ok {
			if err := entry.inert(rebuilt.Entries[j], pyc); err != nil {
				return err
			}
		}
		for _, extra := range []string{*entry.Extra, *entry.LocalExtra} {
			if err := inertExtras(entry.Name, extra, pyc); err != nil {
				return err
			}
		}
	}
	return nil
}

// inertDirectory checks a directory entry. ancestors are the directories
// that members lie in.
func (entry EnvelopeEntry) inertDirectory(ancestors map[string]bool) error {
	mode, dos, system := *entry.External>>16, *entry.External&0xffff, *entry.Creator>>8
	switch {
	case !ancestors[entry.Name]:
		return &NotInertError{entry.Name, "directory entry", "no member lies in it"}
	case mode&0o7002 != 0:
		return &NotInertError{entry.Name, "mode", fmt.Sprintf("%04o: set-id, sticky, or others may write to it", mode&0o7777)}
	case dos&^0x10 != 0:
		return &NotInertError{entry.Name, "mode", fmt.Sprintf("MS-DOS attributes %#x", dos)}
	case system != 0 && system != 3:
		return &NotInertError{entry.Name, "creator system", fmt.Sprint(system)}
	case *entry.Internal > 1:
		return &NotInertError{entry.Name, "internal attributes", fmt.Sprintf("%#x", *entry.Internal)}
	}
	return nil
}

func inertExtras(name, text string, pyc bool) error {
	b, err := hex.DecodeString(text)
	if err != nil {
		return fmt.Errorf("read envelope: extra field of %q: %w", name, err)
	}
	ids, err := extraIDs(b)
	if err != nil {
		return &NotInertError{name, "extra field", "malformed"}
	}
	for _, id := range ids {
		if !slices.Contains(inertExtra, id) {
			return &NotInertError{name, "extra field", fmt.Sprintf("id %#04x is not known to be inert", id)}
		}
		if pyc && id == extraTime {
			return &NotInertError{name, "time", "an extended timestamp in a wheel with byte code"}
		}
		if !wellFormed(id, extraField(b, id)) {
			return &NotInertError{name, "extra field", fmt.Sprintf("id %#04x has not the shape that it has by its definition", id)}
		}
	}
	return nil
}

// wellFormed reports whether data is what an extra field of that id holds,
// and nothing more: sizes; flags and up to three times; a version and two ids
// of up to eight bytes.
func wellFormed(id uint16, data []byte) bool {
	n := len(data)
	switch id {
	case extraZip64:
		return n == 16
	case extraTime:
		return n > 0 && n <= 13 && n%4 == 1 && data[0]&^7 == 0
	case extraOwner:
		if n < 3 || data[0] != 1 || data[1] > 8 || n < 3+int(data[1]) {
			return false
		}
		gid := data[2+data[1]]
		return gid <= 8 && n == 3+int(data[1])+int(gid)
	}
	return false
}

// inert checks one entry against the rebuilt member.
func (entry EnvelopeEntry) inert(m Entry, pyc bool) error {
	not := func(field, format string, args ...any) error {
		return &NotInertError{entry.Name, field, fmt.Sprintf(format, args...)}
	}
	mode, own := *entry.External>>16, m.Mode()
	executable := (mode|own)&0o111 != 0
	switch {
	case mode&0o111 != own&0o111:
		return not("exec bit", "mode %04o, rebuilt %04o", mode&0o777, own&0o777)
	case (mode|own)&0o7000 != 0:
		return not("mode", "set-id or sticky bit (%04o)", mode&0o7777)
	case mode&typeMask != own&typeMask && executable:
		return not("mode", "file type %#o, rebuilt %#o, of an executable", mode&typeMask, own&typeMask)
	case *entry.External&0xffff != m.ExternalAttrs&0xffff && *entry.External&0xffff != 0:
		return not("mode", "MS-DOS attributes %#x", *entry.External&0xffff)
	case *entry.Creator>>8 != uint16(m.System()) && executable:
		return not("creator system", "%d, rebuilt %d, of an executable", *entry.Creator>>8, m.System())
	case *entry.Creator>>8 != 0 && *entry.Creator>>8 != 3:
		return not("creator system", "%d", *entry.Creator>>8)
	case pyc && *entry.Time != m.Modified().Format(dosTime):
		return not("time", "%s, rebuilt %s, in a wheel with byte code", *entry.Time, m.Modified().Format(dosTime))
	case *entry.Flags&flagUTF8 != m.Flags&flagUTF8 && !ascii(entry.Name):
		return not("flags", "%#x for a name that is not ASCII", *entry.Flags)
	case *entry.Internal > 1:
		return not("internal attributes", "%#x", *entry.Internal)
	case *entry.Sizes == "zero" && *entry.Encoder == EncoderStored && m.Size > 0 && !(m.zero && m.Method == 0):
		return not("sizes", "stored, and only the data descriptor says how long")
	}
	return nil
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// fields are the optional fields, to hoist and complete them alike.
func (entry *EnvelopeEntry) fields() []field {
	return []field{
		of(&entry.Time), of(&entry.Creator), of(&entry.Reader), of(&entry.Flags), of(&entry.Internal), of(&entry.External),
		of(&entry.Extra), of(&entry.LocalExtra), of(&entry.Descriptor), of(&entry.Sizes), of(&entry.Encoder),
	}
}

// A field is a pointer to an optional value.
type field struct {
	isNil func() bool
	get   func() any
	set   func(any)
	clear func()
}

func of[T any](p **T) field {
	return field{
		isNil: func() bool { return *p == nil },
		get:   func() any { return **p },
		set:   func(v any) { t := v.(T); *p = &t },
		clear: func() { *p = nil },
	}
}

// hoist moves the most frequent value of each field into Default. Entries
// are complete before.
func (e *Envelope) hoist() {
	if len(e.Entries) == 0 {
		return
	}
	for k := range e.Default.fields() {
		count := map[any]int{}
		var best any
		for i := range e.Entries {
			v := e.Entries[i].fields()[k].get()
			count[v]++
			if best == nil || count[v] > count[best] {
				best = v
			}
		}
		e.Default.fields()[k].set(best)
		for i := range e.Entries {
			if f := e.Entries[i].fields()[k]; f.get() == best {
				f.clear()
			}
		}
	}
}

// complete is a copy of e in which every entry has every field.
func (e *Envelope) complete() (*Envelope, error) {
	out := *e
	out.Entries = slices.Clone(e.Entries)
	defaults := e.Default.fields()
	for i := range out.Entries {
		for k, f := range out.Entries[i].fields() {
			if !f.isNil() {
				continue
			}
			if defaults[k].isNil() {
				return nil, fmt.Errorf("read envelope: %q lacks a field that has no default", out.Entries[i].Name)
			}
			f.set(defaults[k].get())
		}
	}
	return &out, nil
}

// Marshal writes e as JSON, an entry a line: equal envelopes are equal bytes.
func (e *Envelope) Marshal() ([]byte, error) {
	head, err := json.Marshal(struct {
		Schema   string        `json:"schema"`
		Filename string        `json:"filename"`
		SHA256   string        `json:"sha256"`
		Default  EnvelopeEntry `json:"default"`
	}{e.Schema, e.Filename, e.SHA256, e.Default})
	if err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	var b bytes.Buffer
	b.Write(head[:len(head)-1])
	b.WriteString(",\"entries\":[")
	for i, entry := range e.Entries {
		line, err := json.Marshal(entry)
		if err != nil {
			return nil, fmt.Errorf("write envelope: %w", err)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return b.Bytes(), nil
}

// ParseEnvelope reads what Marshal wrote, white space aside. Unknown fields
// are errors, and so are fields that stand twice or in another order.
func ParseEnvelope(data []byte) (*Envelope, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var e Envelope
	if err := dec.Decode(&e); err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("read envelope: more after its end")
	}
	if e.Schema != EnvelopeSchema {
		return nil, fmt.Errorf("read envelope: schema %q, not %s", e.Schema, EnvelopeSchema)
	}
	full, err := e.complete()
	if err != nil {
		return nil, err
	}
	for _, entry := range full.Entries {
		if *entry.Sizes != "known" && *entry.Sizes != "zero" {
			return nil, fmt.Errorf("read envelope: %q has sizes %q", entry.Name, *entry.Sizes)
		}
	}
	if sum, err := hex.DecodeString(e.SHA256); err != nil || len(sum) != 32 || strings.ToLower(e.SHA256) != e.SHA256 {
		return nil, fmt.Errorf("read envelope: sha256 %q", e.SHA256)
	}
	if e.Filename == "" || strings.ContainsAny(e.Filename, `/\:`) || strings.ContainsFunc(e.Filename, unicode.IsControl) {
		return nil, fmt.Errorf("read envelope: filename %q", e.Filename)
	}
	return &e, e.wroteAs(data)
}

// wroteAs refuses JSON that other readers may see otherwise: keys that stand
// twice or in another case, null.
func (e *Envelope) wroteAs(data []byte) error {
	text, err := e.Marshal()
	if err != nil {
		return err
	}
	var given, own bytes.Buffer
	if err := errors.Join(json.Compact(&given, data), json.Compact(&own, text)); err != nil {
		return fmt.Errorf("read envelope: %w", err)
	}
	if !bytes.Equal(given.Bytes(), own.Bytes()) {
		return errors.New("read envelope: keys or values are not written as Marshal writes them")
	}
	return nil
}

// Replay packs the contents of rebuilt in the envelope and writes the
// archive that results to w. It checks the whitelist again, so that an
// envelope from anywhere may be given. The caller compares the result with
// the subject: what is written is a wheel only if [Open] takes it.
func Replay(ctx context.Context, w io.Writer, e *Envelope, rebuilt *Archive, enc Encoders) error {
	full, err := e.complete()
	if err != nil {
		return err
	}
	if err := full.inert(rebuilt); err != nil {
		return err
	}
	at := rebuilt.files()
	out := &replay{w: w, enc: enc, rebuilt: rebuilt}
	seen := map[string]bool{}
	for _, entry := range full.Entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if seen[entry.Name] {
			return fmt.Errorf("replay: %q stands twice", entry.Name)
		}
		seen[entry.Name] = true
		if err := out.add(ctx, entry, at); err != nil {
			return fmt.Errorf("replay %q: %w", entry.Name, err)
		}
	}
	for name := range at {
		if !seen[name] {
			return &ContentError{name, "is not in the envelope"}
		}
	}
	return out.end()
}

type replay struct {
	w         io.Writer
	enc       Encoders
	rebuilt   *Archive
	n         int64
	directory bytes.Buffer
	count     int
}

func (r *replay) Write(p []byte) (int, error) {
	n, err := r.w.Write(p)
	r.n += int64(n)
	return n, err
}

// counter measures a stream without keeping it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (r *replay) add(ctx context.Context, entry EnvelopeEntry, at map[string]int) error {
	h, err := entry.header()
	if err != nil {
		return err
	}
	write := func(io.Writer) error { return nil } // a directory
	if i, ok := at[entry.Name]; ok {
		own := r.rebuilt.Entries[i]
		h.Size, h.CRC32 = own.Size, own.CRC32
		if h.Method, h.CompressedSize, write, err = r.stream(ctx, *entry.Encoder, i); err != nil {
			return err
		}
	}
	offset := r.n
	if offset > 0xfffffffe || h.CompressedSize > 0xfffffffe {
		return errors.New("more than 4 GiB")
	}
	if _, err := r.Write(h.localHeader(*entry.Sizes == "zero")); err != nil {
		return err
	}
	before := r.n
	if err := write(r); err != nil {
		return err
	}
	if r.n-before != h.CompressedSize {
		return errors.New("the encoder gave two streams of different lengths")
	}
	if h.Descriptor != 0 {
		if _, err := r.Write(dataDescriptor(h, h.Descriptor)); err != nil {
			return err
		}
	}
	r.directory.Write(h.centralHeader(uint32(offset)))
	r.count++
	return nil
}

// stream says how entry i of the rebuilt wheel is encoded, how long it gets, and writes it.
func (r *replay) stream(ctx context.Context, encoder string, i int) (uint16, int64, func(io.Writer) error, error) {
	own := r.rebuilt.Entries[i]
	plain := func(w io.Writer) error {
		c, err := r.rebuilt.Contents(i)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, c)
		return errors.Join(err, c.Close())
	}
	switch {
	case encoder == EncoderStored:
		return 0, own.Size, plain, nil
	case encoder == EncoderRebuilt && own.Method == 8:
		return 8, own.CompressedSize, func(w io.Writer) error {
			_, err := io.Copy(w, r.rebuilt.Stream(i))
			return err
		}, nil
	case encoder == EncoderRebuilt:
		return 0, 0, nil, errors.New("the rebuilt wheel has no deflate stream for it")
	case r.enc == nil:
		return 0, 0, nil, fmt.Errorf("encoder %q is not at hand", encoder)
	}
	encode := func(w io.Writer) error {
		c, err := r.rebuilt.Contents(i)
		if err != nil {
			return err
		}
		return errors.Join(r.enc.Encode(ctx, encoder, w, c), c.Close())
	}
	var length counter
	if err := encode(&length); err != nil {
		return 0, 0, nil, err
	}
	return 8, length.n, encode, nil
}

// header is the entry without sizes, method and CRC.
func (entry EnvelopeEntry) header() (Entry, error) {
	t, err := time.Parse(dosTime, *entry.Time)
	if err != nil || t.Year() < 1980 || t.Year() > 2107 {
		return Entry{}, fmt.Errorf("time %q", *entry.Time)
	}
	h := Entry{
		Name: entry.Name, CreatorVersion: *entry.Creator, ReaderVersion: *entry.Reader, Flags: *entry.Flags,
		InternalAttrs: *entry.Internal, ExternalAttrs: *entry.External, Descriptor: *entry.Descriptor,
		Date: dosDate(t), Time: dosClock(t),
	}
	if h.Extra, err = hex.DecodeString(*entry.Extra); err != nil {
		return h, fmt.Errorf("extra field: %w", err)
	}
	if h.LocalExtra, err = hex.DecodeString(*entry.LocalExtra); err != nil {
		return h, fmt.Errorf("extra field: %w", err)
	}
	if len(h.Name) > 0xffff || len(h.Extra) > 0xffff || len(h.LocalExtra) > 0xffff {
		return h, errors.New("a field of more than 65,535 bytes")
	}
	described := h.Flags&flagDescriptor != 0
	if described != (h.Descriptor != 0) || !slices.Contains([]int{0, 12, 16, 20, 24}, h.Descriptor) {
		return h, fmt.Errorf("flags %#x with a data descriptor of %d bytes", h.Flags, h.Descriptor)
	}
	if *entry.Sizes == "zero" && !described {
		return h, errors.New("sizes left to a data descriptor, without one")
	}
	h.CRC32 = crc32.ChecksumIEEE(nil)
	return h, checkEntry(h)
}

func (h Entry) localHeader(zero bool) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0x04034b50)
	for _, v := range []uint16{h.ReaderVersion, h.Flags, h.Method, h.Time, h.Date} {
		b = le.AppendUint16(b, v)
	}
	crc, compressed, size := h.CRC32, uint32(h.CompressedSize), uint32(h.Size)
	if zero {
		crc, compressed, size = 0, 0, 0
	}
	extra := slices.Clone(h.LocalExtra)
	if zip64 := extraField(extra, extraZip64); len(zip64) == 16 {
		le.PutUint64(zip64, uint64(size))
		le.PutUint64(zip64[8:], uint64(compressed))
		compressed, size = 0xffffffff, 0xffffffff
	}
	b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, crc), compressed), size)
	b = le.AppendUint16(le.AppendUint16(b, uint16(len(h.Name))), uint16(len(extra)))
	return append(append(b, h.Name...), extra...)
}

func (h Entry) centralHeader(offset uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0x02014b50)
	for _, v := range []uint16{h.CreatorVersion, h.ReaderVersion, h.Flags, h.Method, h.Time, h.Date} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(le.AppendUint32(le.AppendUint32(b, h.CRC32), uint32(h.CompressedSize)), uint32(h.Size))
	for _, v := range []uint16{uint16(len(h.Name)), uint16(len(h.Extra)), 0, 0, h.InternalAttrs} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(le.AppendUint32(b, h.ExternalAttrs), offset)
	return append(append(b, h.Name...), h.Extra...)
}

func (r *replay) end() error {
	if r.count > 0xfffe || r.n+int64(r.directory.Len()) > 0xfffffffe {
		return errors.New("replay: more than a zip without zip64 can hold")
	}
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0x06054b50)
	for _, v := range []uint16{0, 0, uint16(r.count), uint16(r.count)} {
		b = le.AppendUint16(b, v)
	}
	b = le.AppendUint32(le.AppendUint32(b, uint32(r.directory.Len())), uint32(r.n))
	b = le.AppendUint16(b, 0)
	_, err := r.w.Write(append(r.directory.Bytes(), b...))
	return err
}

// Fields says in which kinds of container fields the archive of e is not
// like rebuilt, with the number of entries: "time (14)", "order". A directory
// that only one of them has is a "directory entry".
func (e *Envelope) Fields(rebuilt *Archive) []string {
	full, err := e.complete()
	if err != nil {
		return nil
	}
	count := map[string]int{}
	var order, own []string
	for _, entry := range full.Entries {
		i := rebuilt.Find(entry.Name)
		if i < 0 {
			count["directory entry"]++
			continue
		}
		order = append(order, entry.Name)
		m := rebuilt.Entries[i]
		for _, f := range []struct {
			name  string
			other bool
		}{
			{"time", *entry.Time != m.Modified().Format(dosTime)},
			{"mode", *entry.External != m.ExternalAttrs},
			{"creator version", *entry.Creator != m.CreatorVersion},
			{"reader version", *entry.Reader != m.ReaderVersion},
			{"flags", *entry.Flags != m.Flags},
			{"data descriptor", *entry.Descriptor != m.Descriptor || (*entry.Sizes == "zero") != m.zero},
			{"internal attributes", *entry.Internal != m.InternalAttrs},
			{"extra field", *entry.Extra != hex.EncodeToString(m.Extra) || *entry.LocalExtra != hex.EncodeToString(m.LocalExtra)},
			{"deflate " + *entry.Encoder, !m.IsDir() && *entry.Encoder != EncoderRebuilt && !(*entry.Encoder == EncoderStored && m.Method == 0)},
		} {
			if f.other {
				count[f.name]++
			}
		}
	}
	common := make(map[string]bool, len(order))
	for _, name := range order {
		common[name] = true
	}
	for _, m := range rebuilt.Entries {
		if common[m.Name] {
			own = append(own, m.Name)
		} else {
			count["directory entry"]++
		}
	}
	var out []string
	if !slices.Equal(order, own) {
		out = append(out, "order")
	}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		out = append(out, fmt.Sprintf("%s (%d)", name, count[name]))
	}
	return out
}
