package audit

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoFindsOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		finds := 0
		find := func() (int, bool) {
			time.Sleep(time.Second)
			finds++
			return 7, true
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if got, err := m.get(t.Context(), "a", find); got != 7 || err != nil {
					t.Errorf("got %d, %v", got, err)
				}
			})
		}
		wg.Wait()
		if finds != 1 {
			t.Errorf("found %d times", finds)
		}
	})
}

func TestMemoWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memo[string, int]
		go func() {
			_, _ = m.get(t.Context(), "a", func() (int, bool) { time.Sleep(time.Minute); return 7, true })
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := m.get(ctx, "a", nil); err != context.DeadlineExceeded || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		time.Sleep(time.Minute)
	})
}

func TestMemoForgetsWhatIsNotToBeKept(t *testing.T) {
	var m memo[string, int]
	for _, want := range []int{1, 2} {
		if got, err := m.get(t.Context(), "a", func() (int, bool) { return want, want > 1 }); got != want || err != nil {
			t.Errorf("got %d, %v; want %d", got, err, want)
		}
	}
	if got, _ := m.get(t.Context(), "a", nil); got != 2 {
		t.Errorf("got %d, want what was kept", got)
	}
}
