package certs

import (
	"context"
	"strings"
	"testing"
)

func TestPanicOfAPartEndsTheOthersAndGoesOn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := parts{cancel: cancel}
	ended := make(chan struct{})
	p.start(func() { <-ctx.Done(); close(ended) })
	p.start(func() { panic("oh") })
	<-ctx.Done()
	defer func() {
		if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), "panic: oh") {
			t.Errorf("got %v, want the panic", err)
		}
		select {
		case <-ended:
		default:
			t.Error("the other part still runs")
		}
	}()
	p.end()
}
