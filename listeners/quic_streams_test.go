package listeners

import (
	"context"
	"testing"

	"github.com/quic-go/quic-go"
)

// A client that always has another stream on its way does not keep a server that
// stops: what had arrived is taken, and no more.
func TestStreamsThatNeverEndDoNotKeepAServer(t *testing.T) {
	const most, before = 5, 20
	ctx, stop := context.WithCancel(t.Context())
	taken := 0
	q := streamQueue{late: most, accept: func(context.Context) (*quic.Stream, error) {
		if taken++; taken == before {
			stop()
		}
		if taken > 1000 {
			t.Fatal("streams are taken without end")
		}
		return new(quic.Stream), nil
	}}
	for q.next(ctx) != nil {
	}
	if taken != before+most {
		t.Errorf("%d streams were taken, want %d, and %d when the server stopped", taken, before, most)
	}
}
