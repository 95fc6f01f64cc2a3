package config

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "30s": 30 * time.Second, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute, "250ms": 250 * time.Millisecond,
		"1d": 24 * time.Hour, "2w": 14 * 24 * time.Hour, "1w2d3h": 9*24*time.Hour + 3*time.Hour, "0d": 0,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "s", "d", "5", "1h 30m", "1.5d", "-1d", "1m1d", "1y", "99999999999999999999d", "10001d", "--1s"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q: got %s", text, got)
		}
	}
}

func TestBrief(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"10ms": 10 * time.Millisecond, "1s": time.Second, "1m30s": 90 * time.Second, "10m": 10 * time.Minute, "1h": time.Hour,
		"1h30m": 90 * time.Minute, "7d": 7 * day, "36h": 36 * time.Hour, "10h0m10s": 10*time.Hour + 10*time.Second,
	} {
		if got := brief(d); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
