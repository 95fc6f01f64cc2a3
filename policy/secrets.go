package policy

import (
	"crypto/rand"
	"sync/atomic"
	"time"
)

// secrets are the keys of server cookies: either a list from the settings, or
// one for each day. A cookie says when it was made, so with a secret a day it
// is known which one made it, and a cookie is hashed once to be verified.
//
// A cookie lives an hour: a secret is of use for one hour after its day and,
// for a server whose clock is behind, for five minutes before it.
type secrets struct {
	fixed  []secret
	derive func(time.Time) [32]byte
	days   atomic.Pointer[threeDays]
}

// threeDays holds the secrets of a day and its neighbours.
type threeDays struct {
	today   int64 // since the Unix epoch
	secrets [3]secret
}

const secondsPerDay = 24 * 60 * 60

// newSecrets expects a valid Config.
func newSecrets(cfg Cookies, now time.Time) *secrets {
	s := &secrets{derive: cfg.Derive}
	for _, text := range cfg.Secrets {
		k, _ := parseSecret(text)
		s.fixed = append(s.fixed, k)
	}
	if len(s.fixed) == 0 && s.derive == nil {
		var b [secretBytes]byte
		rand.Read(b[:])
		s.fixed = []secret{secretOf(b[:])}
	}
	if len(s.fixed) == 0 {
		s.roll(now)
	}
	return s
}

// single tells whether a cookie that verifies was made with the secret that
// would make it now, or with that of its own day.
func (s *secrets) single() bool { return len(s.fixed) <= 1 }

// at returns the secrets that may have made a cookie when it was now+offset,
// the one to make it with first. The offset is less than a day.
func (s *secrets) at(now time.Time, offset time.Duration) []secret {
	if len(s.fixed) > 0 {
		return s.fixed
	}
	d := s.days.Load()
	if day := now.Unix() / secondsPerDay; d.today != day {
		d = s.roll(now)
	}
	i := (now.Unix()+int64(offset/time.Second))/secondsPerDay - d.today + 1
	return d.secrets[i : i+1]
}

// roll derives the secrets around now. Two queries at midnight may both do so;
// they get the same.
func (s *secrets) roll(now time.Time) *threeDays {
	d := &threeDays{today: now.Unix() / secondsPerDay}
	for i := range d.secrets {
		b := s.derive(time.Unix((d.today+int64(i)-1)*secondsPerDay, 0).UTC())
		d.secrets[i] = secretOf(b[:])
	}
	s.days.Store(d)
	return d
}
