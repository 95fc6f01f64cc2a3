package listeners

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNameOfAProcessIsFitToPrint: any user may name a process so that a terminal
// would obey.
func TestNameOfAProcessIsFitToPrint(t *testing.T) {
	const comm = "/proc/self/comm" // the main thread's, which is the process' own
	before, err := os.ReadFile(comm)
	if err != nil {
		t.Skip(err)
	}
	defer os.WriteFile(comm, before, 0)
	if err := os.WriteFile(comm, []byte("a\x1b[2Jb\xff"), 0); err != nil {
		t.Skip(err)
	}
	if got, want := processName(os.Getpid()), "a?[2Jb\ufffd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReplacedProgramKeepsItsName: the hint to take over from a server that runs
// is for upgrades, which replace its file.
func TestReplacedProgramKeepsItsName(t *testing.T) {
	original, err := exec.LookPath("cat")
	if err != nil {
		t.Skip(err)
	}
	program, err := os.ReadFile(original)
	if err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), "cat")
	if err := os.WriteFile(file, program, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(file)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Error(err)
	}
	if got := processName(cmd.Process.Pid); got != "cat" {
		t.Errorf("got %q, want cat", got)
	}
	input.Close() // which ends it
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
