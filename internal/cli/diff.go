package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/wheel"
	"github.com/truewheel/truewheel/wheel/deflate"
)

type diffOptions struct {
	common
	envelope      string
	writeEnvelope string
	json          bool
	full          bool
}

func (a *app) newDiffCommand() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff REBUILT SUBJECT",
		Short: "Compare two wheels, byte for byte",
		Long: `diff compares a rebuilt wheel with a published one. Equal bytes are equal; when
only the container differs it says whether an inert envelope turns one into the
other. With --envelope it proves what a published envelope claims: the contents
of REBUILT packed in it are SUBJECT, byte for byte.

Exit codes: 0 equal, or equal after replaying the envelope; 3 differs; 1 could
not tell; 2 wrong usage.`,
		Example: `  truewheel diff dist/demo-1.0-py3-none-any.whl demo-1.0-py3-none-any.whl
  truewheel diff --envelope E.json rebuilt.whl published.whl`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.diff(cmd.Context(), &o, given[0], given[1])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.envelope, "envelope", "", "prove SUBJECT by this envelope `file`")
	f.StringVar(&o.writeEnvelope, "write-envelope", "", "write the envelope that turns REBUILT into SUBJECT to `file`")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.full, "full", false, "list all differences")
	o.registerLimits(cmd)
	return cmd
}

// wheelFile is an opened wheel.
type wheelFile struct {
	*wheel.Archive
	sha256 string
	file   *os.File
}

func (c *common) open(name string) (*wheelFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	a, err := wheel.Open(filepath.Base(name), f, size, c.wheelLimits())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &wheelFile{a, hex.EncodeToString(h.Sum(nil)), f}, nil
}

func (a *app) diff(ctx context.Context, o *diffOptions, rebuiltName, subjectName string) error {
	rebuilt, err := o.open(rebuiltName)
	if err != nil {
		return err
	}
	defer rebuilt.file.Close()
	encoders, err := deflate.New(ctx)
	if err != nil {
		return err
	}
	defer encoders.Close(ctx)
	if o.envelope != "" {
		return a.prove(ctx, o, rebuilt, subjectName, encoders)
	}
	subject, err := o.open(subjectName)
	if err != nil {
		return err
	}
	defer subject.file.Close()
	// The names on disk are the caller's; what is compared is the wheels.
	rebuilt.Filename = subject.Filename
	res, err := compare.Wheels(ctx, subject.Archive, rebuilt.Archive, compare.Options{
		Scalar: true, SubjectSHA256: subject.sha256, RebuiltSHA256: rebuilt.sha256, Encoders: encoders,
	})
	if err != nil {
		return err
	}
	var envelope []byte
	if res.Envelope != nil {
		if envelope, err = res.Envelope.Marshal(); err != nil {
			return err
		}
		if o.writeEnvelope != "" {
			if err := store.WriteFile(o.writeEnvelope, envelope); err != nil {
				return fmt.Errorf("write envelope: %w", err)
			}
		}
	}
	if o.json {
		err = json.NewEncoder(a.stdout).Encode(map[string]any{
			"schema": "truewheel.diff/1", "verdict": diffWord(res.Verdict), "members": res.Members, "equal": res.Equal,
			"differences": nonNil(res.Differences), "unexplained": res.Unexplained(), "replayed": res.Replayed,
		})
	} else {
		a.printDiff(res, o.full)
	}
	if err != nil {
		return err
	}
	return exit(exitCode(res.Verdict))
}

func nonNil(d []compare.Difference) []compare.Difference {
	if d == nil {
		return []compare.Difference{}
	}
	return d
}

// diffWord: of two files nobody knows how they were built, so equal bytes are just that.
func diffWord(v compare.Verdict) string {
	switch v {
	case compare.Reproduced:
		return "equal"
	case compare.Replayed:
		return "replayable"
	}
	return string(v)
}

func (a *app) printDiff(res *compare.Result, full bool) {
	switch res.Verdict {
	case compare.Reproduced:
		fmt.Fprintf(a.stdout, "%s  same sha256\n", a.paint(green, "EQUAL"))
	case compare.Replayed:
		fmt.Fprintf(a.stdout, "%s  same names and contents; an inert envelope makes the same bytes: %s\n", a.paint(green, "REPLAYABLE"), strings.Join(res.Replayed, ", "))
	default:
		fmt.Fprintf(a.stdout, "%s  %d of %d members equal, %s, %s\n", a.paint(yellow, "DIFFERS"), res.Equal, res.Members,
			count(len(groups(res.Differences)), "cause"), unexplained(res.Unexplained()))
		printDifferences(a.stdout, res.Differences, full)
	}
}

// prove replays an envelope and compares the result with the subject.
func (a *app) prove(ctx context.Context, o *diffOptions, rebuilt *wheelFile, subjectName string, enc wheel.Encoders) error {
	data, err := os.ReadFile(o.envelope)
	if err != nil {
		return err
	}
	e, err := wheel.ParseEnvelope(data)
	if err != nil {
		return fmt.Errorf("%s: %w", o.envelope, err)
	}
	subject, err := os.Open(subjectName)
	if err != nil {
		return err
	}
	defer subject.Close()
	same := &sameBytes{r: subject}
	if err := wheel.Replay(ctx, same, e, rebuilt.Archive, enc); err != nil && !errors.Is(err, errOther) {
		return fmt.Errorf("replay %s: %w", o.envelope, err)
	}
	if same.equal() {
		fmt.Fprintf(a.stdout, "%s  the contents of %s in this envelope are %s, byte for byte\n", a.paint(green, "REPLAYED"), filepath.Base(rebuilt.file.Name()), filepath.Base(subjectName))
		return nil
	}
	fmt.Fprintf(a.stdout, "%s  the contents of %s in this envelope are other bytes than %s from byte %d on\n", a.paint(yellow, "DIFFERS"), filepath.Base(rebuilt.file.Name()), filepath.Base(subjectName), same.n)
	return exit(exitDiffers)
}

var errOther = errors.New("other bytes")

// sameBytes takes bytes and compares them with those of r.
type sameBytes struct {
	r     io.Reader
	n     int64
	other bool
}

func (s *sameBytes) Write(p []byte) (int, error) {
	b := make([]byte, len(p))
	n, _ := io.ReadFull(s.r, b)
	if !bytes.Equal(b[:n], p) {
		s.other = true
		return 0, errOther
	}
	s.n += int64(n)
	return len(p), nil
}

// equal reports whether all was the same, to the end of both.
func (s *sameBytes) equal() bool {
	if s.other {
		return false
	}
	n, err := s.r.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}
