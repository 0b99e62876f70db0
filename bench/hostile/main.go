// Command hostile writes the hostile wheels into a directory, each below a
// directory with the case's name, and prints what truewheel makes of them as
// lines of JSON. With names of wheels it says instead whether each replays
// from its own envelope.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/truewheel/truewheel/internal/hostile"
	"github.com/truewheel/truewheel/wheel"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2:
		err = dump(os.Args[1])
	case len(os.Args) > 2 && os.Args[1] == "replay":
		err = replay(os.Args[2:])
	default:
		err = fmt.Errorf("usage: hostile DIR, or hostile replay WHEEL... of any number")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func dump(dir string) error {
	out := json.NewEncoder(os.Stdout)
	honest := []hostile.Case{
		{Name: "honest", Want: "honest", Bytes: hostile.Honest()},
		{Name: "honest-compiled", Want: "honest", Bytes: hostile.HonestCompiled()},
	}
	for _, c := range slices.Concat(honest, hostile.Cases(), hostile.Inert()) {
		at := filepath.Join(dir, c.Name)
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(at, hostile.Filename), c.Bytes, 0o644); err != nil {
			return err
		}
		if err := out.Encode(map[string]string{"name": c.Name, "why": c.Why, "want": c.Want}); err != nil {
			return err
		}
	}
	return nil
}

// replay shows that replay(envelope(w), contents(w)) is w.
func replay(names []string) error {
	ctx := context.Background()
	good := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		a, err := wheel.Open(filepath.Base(name), bytes.NewReader(data), int64(len(data)), wheel.Limits{})
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		suspicions, err := a.CheckRecord(ctx)
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		for _, s := range append(a.Suspicions(), suspicions...) {
			fmt.Printf("%s: %s %s\n", a.Filename, s.Member, s.Detail)
		}
		e, err := wheel.NewEnvelope(ctx, a, a, hex.EncodeToString(sum[:]), nil)
		if err != nil {
			fmt.Printf("%s: %v\n", a.Filename, err)
			continue
		}
		text, err := e.Marshal()
		if err != nil {
			return err
		}
		again, err := wheel.ParseEnvelope(text)
		if err != nil {
			return err
		}
		var out bytes.Buffer
		if err := wheel.Replay(ctx, &out, again, a, nil); err != nil {
			fmt.Printf("%s: %v\n", a.Filename, err)
			continue
		}
		if bytes.Equal(out.Bytes(), data) {
			good++
		} else {
			fmt.Printf("%s: replays to other bytes\n", a.Filename)
		}
	}
	fmt.Printf("%d of %d wheels replay exactly\n", good, len(names))
	return nil
}
