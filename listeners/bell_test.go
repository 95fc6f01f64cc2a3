package listeners

import "testing"

func TestTheBellIsHeardOnceForEachTimeItIsRung(t *testing.T) {
	var b bell
	if b.ring() {
		t.Error("a bell that does not hang is rung")
	}
	heard := make(chan struct{}, 2)
	b.hang()
	b.listen(func() { heard <- struct{}{} })
	for range 3 {
		for range 2 { // the second time is the same as the first
			if !b.ring() {
				t.Fatal("the bell is not rung")
			}
		}
		<-heard
		b.rung = false
	}
	b.takeDown()
	if b.ring() || len(heard) > 0 {
		t.Error("a bell that was taken down is rung")
	}
	b.takeDown()
}
