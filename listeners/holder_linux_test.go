package listeners

import (
	"os"
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
