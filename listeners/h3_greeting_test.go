package listeners

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// When the server stops, a client is told which requests it still gets an answer to, and
// gets it, before the connection is closed in order.
func TestH3TellsBeforeItLeaves(t *testing.T) {
	s := h3Server(t, cacheable, nil)
	c := dialH3(t, s)
	control, err := c.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = control.SetReadDeadline(time.Now().Add(patience))
	expect := func(want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(control, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %x, %v, want %x", got, err, want)
		}
	}
	expect(append([]byte{h3ControlStream}, h3FrameOf(h3Settings, h3Numbers(h3MaxFieldSection, maxHeaderBytes))...))
	post := h3Post(plainQuery)
	begun := openStream(t, c, post[:20])
	expectH3Answer(t, c) // so the server has the other one
	s.cancel()
	expect(h3FrameOf(h3GoAway, h3Numbers(8))) // it has had the streams 0 and 4
	if _, err := begun.Write(post[20:]); err != nil {
		t.Fatal(err)
	}
	begun.Close()
	if answer, err := io.ReadAll(begun); err != nil || !bytes.Contains(answer, plainQuery[12:]) {
		t.Errorf("got %.60x, %v", answer, err)
	}
	expectClosedWith(t, c, quic.ApplicationErrorCode(http3.ErrCodeNoError))
}
