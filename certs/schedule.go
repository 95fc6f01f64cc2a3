package certs

import (
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"time"

	"golang.org/x/crypto/acme"
)

const (
	// renewalPart and longestRenewal: a certificate is renewed when a third
	// of its life is left, or 30 days, as autocert does and Let's Encrypt
	// recommends.
	renewalPart    = 3
	longestRenewal = 30 * 24 * time.Hour

	// renewalJitter is by how much a renewal may come later than that, so
	// that the servers of a fleet do not all ask at once.
	renewalJitter = time.Hour
)

const (
	// unreachedPause is the first pause when the CA could not be asked.
	unreachedPause = time.Minute

	// refusedPause is the first pause when the CA said no. Let's Encrypt
	// allows five failed validations of a host in an hour, and an attempt
	// may fail twice, once for each kind of challenge.
	refusedPause = 15 * time.Minute

	// longestPause is where doubling ends; longestRetryAfter is how long a
	// CA may have us wait, lest a typing error of theirs lasts for ever.
	longestPause      = 6 * time.Hour
	longestRetryAfter = 48 * time.Hour

	// pausesInLife: in the life of a certificate there is time for this many
	// attempts at least. It matters when a private CA issues for a day.
	pausesInLife = 48
)

// renewalOf is when a certificate is to be renewed.
func renewalOf(leaf *x509.Certificate) time.Time {
	before := min(leaf.NotAfter.Sub(leaf.NotBefore)/renewalPart, longestRenewal)
	jitter := min(before/10, renewalJitter)
	return leaf.NotAfter.Add(-before + rand.N(jitter+1))
}

// backoff is how long to wait after so many failures in a row, of which err is
// the last; have is the certificate in hand, or nil.
func backoff(failures int, err error, have *issued) time.Duration {
	pause, longest := unreachedPause, longestPause
	if refused(err) {
		pause = refusedPause
	}
	if have != nil {
		leaf := have.cert.Leaf
		life := leaf.NotAfter.Sub(leaf.NotBefore)
		longest = max(unreachedPause, min(longest, life/pausesInLife))
	}
	pause <<= min(failures-1, 10)
	pause = min(pause, longest)
	return max(pause, min(retryAfter(err), longestRetryAfter))
}

// refused tells whether the CA was asked and said no, and will say so again:
// any ACME problem, but not a fault of the CA's own.
func refused(err error) bool {
	var authorization *acme.AuthorizationError
	var order *acme.OrderError
	var problem *acme.Error
	switch {
	case errors.As(err, &authorization), errors.As(err, &order), errors.Is(err, errNotOffered):
		return true
	case errors.As(err, &problem):
		return problem.StatusCode < 500
	}
	return false
}

// retryAfter is how long the CA asked us to wait (RFC 8555 §6.6), or zero.
func retryAfter(err error) time.Duration {
	var problem *acme.Error
	if !errors.As(err, &problem) {
		return 0
	}
	if wait, limited := acme.RateLimit(problem); limited {
		return max(wait, time.Hour) // Let's Encrypt's shortest limit is hourly
	}
	return 0
}
