package listeners

import "testing"

// A connection that has come to its end is not saved by an answer that was on its way.
func TestPatienceThatIsUsedUpDoesNotComeBack(t *testing.T) {
	var f fatigue
	for n := range h2Patience {
		if !f.tire() {
			t.Fatalf("no patience after %d", n)
		}
	}
	f.calm()
	for n := range h2PatienceA {
		if !f.tire() {
			t.Fatalf("an answer gives %d back, want %d", n, h2PatienceA)
		}
	}
	if f.tire() {
		t.Error("there is no end")
	}
	f.calm()
	if f.tire() {
		t.Error("it came back")
	}
}
