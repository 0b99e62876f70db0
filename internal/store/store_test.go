package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestPut(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	path, got, err := s.Put(ctx, sumOf("hello"), strings.NewReader("hello"))
	if err != nil || got != sumOf("hello") {
		t.Fatal(got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("%v %v", info, err)
	}
	_, _, err = s.Put(ctx, sumOf("hello"), strings.NewReader("other"))
	var wrong *MismatchError
	if !errors.As(err, &wrong) || wrong.Got != sumOf("other") {
		t.Errorf("a wrong sum: %v", err)
	}
	if _, ok := s.Path(sumOf("other")); ok {
		t.Error("the wrong file was kept")
	}
	if _, _, err := s.Put(ctx, sumOf("cut"), io.MultiReader(strings.NewReader("cu"), broken{})); err == nil {
		t.Error("a broken stream was kept")
	}
	if _, _, err := s.Put(ctx, "../../x", strings.NewReader("x")); err == nil {
		t.Error("a path was taken for a sum")
	}
	ended, stop := context.WithCancel(ctx)
	stop()
	if _, _, err := s.Put(ended, "", strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(s.Dir(), "tmp"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the line broke") }

func TestLinkVerifyPrune(t *testing.T) {
	ctx := context.Background()
	s := open(t, t.TempDir())
	path, sum, err := s.Put(ctx, "", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	link, err := s.Link(sum, "a-1.whl")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(link); err != nil || string(data) != "hello" || filepath.Base(link) != "a-1.whl" {
		t.Errorf("%q %v", data, err)
	}
	if _, err := s.Link(sumOf("no"), "x"); err == nil {
		t.Error("a link to nothing")
	}
	if n, bad, err := s.Verify(ctx); n != 1 || len(bad) != 0 || err != nil {
		t.Error(n, bad, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("evil!"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, bad, err := s.Verify(ctx); n != 1 || len(bad) != 1 || err != nil {
		t.Error(n, bad, err)
	}
	if _, ok := s.Path(sum); ok {
		t.Error("the damaged file is still there")
	}
	if _, _, err := s.Put(ctx, "", strings.NewReader("again")); err != nil {
		t.Fatal(err)
	}
	if n, bytes, err := s.Prune(ctx, time.Hour); n != 0 || bytes != 0 || err != nil {
		t.Errorf("pruned what is young: %d %d %v", n, bytes, err)
	}
	if n, bytes, err := s.Prune(ctx, 0); n != 1 || bytes != 5 || err != nil {
		t.Error(n, bytes, err)
	}
}

func TestCache(t *testing.T) {
	s := open(t, t.TempDir())
	var v []string
	if _, ok := s.Cached("k", "a", &v); ok {
		t.Error("something is cached")
	}
	if err := s.Cache("k", "a", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Cached("k", "a", &v); !ok || len(v) != 1 {
		t.Error(v)
	}
	s.Forget("k", "a")
	if _, ok := s.Cached("k", "a", &v); ok {
		t.Error("it was not forgotten")
	}
}

// Many goroutines and two further processes put the same files.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	var commands []*exec.Cmd
	for range 2 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestChild$")
		cmd.Env = append(os.Environ(), "STORE_CHILD="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		commands = append(commands, cmd)
	}
	putMany(t, dir)
	for _, cmd := range commands {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	if n, bad, err := open(t, dir).Verify(context.Background()); n != 20 || len(bad) != 0 || err != nil {
		t.Error(n, bad, err)
	}
}

func putMany(t *testing.T, dir string) {
	s := open(t, dir)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				text := fmt.Sprint("file ", (i+g)%20, strings.Repeat("x", 10000))
				if _, _, err := s.Put(context.Background(), sumOf(text), strings.NewReader(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestChild is the other process of the tests above and below.
func TestChild(t *testing.T) {
	if dir := os.Getenv("STORE_CHILD"); dir != "" {
		putMany(t, dir)
	}
	if dir := os.Getenv("STORE_KILLED"); dir != "" {
		s := open(t, dir)
		// It says that it is in the middle, and stays there until it is killed.
		_, _, err := s.Put(context.Background(), "", io.MultiReader(strings.NewReader("half"), say{}, os.Stdin))
		t.Error("it was not killed: ", err)
	}
}

type say struct{}

func (say) Read([]byte) (int, error) {
	fmt.Println("in the middle")
	return 0, io.EOF
}

// A process that is killed in the middle leaves nothing that counts, and the
// next Open takes its temporary files away.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestChild$")
	cmd.Env = append(os.Environ(), "STORE_KILLED="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "in the middle"); {
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as it should be
	locks, err := filepath.Glob(filepath.Join(dir, "tmp", "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatalf("%v %v", locks, err)
	}
	old := time.Now().Add(-2 * time.Minute)
	if err := os.Chtimes(locks[0], old, old); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if n, bad, err := s.Verify(context.Background()); n != 0 || len(bad) != 0 || err != nil {
		t.Error(n, bad, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// A temporary directory in use is left alone.
func TestSweepLeavesTheLiving(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	tmp, done, err := s.TempDir("x")
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Minute)
	if err := os.Chtimes(tmp+".lock", old, old); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if _, err := os.Stat(tmp); err != nil {
		t.Error(err)
	}
	done()
	if _, err := os.Stat(tmp); !errors.Is(err, os.ErrNotExist) {
		t.Error("it is still there")
	}
}
