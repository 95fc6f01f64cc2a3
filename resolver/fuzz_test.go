package resolver_test

import (
	"testing"

	"domainpark/query"
)

// FuzzResolve sends any bytes over any transport to the resolver under each of
// the differential settings: it must not panic, and answer as the reference
// does, which says what an answer may be at all (the ID and the question of
// the query, no more bytes than the client takes, records that parse).
func FuzzResolve(f *testing.F) {
	pairs := newPairs(f)
	f.Fuzz(func(t *testing.T, message []byte, transport, settings uint8) {
		if len(message) > streamBytes {
			return
		}
		p := pairs[int(settings)%len(pairs)]
		p.compare(t, message, query.Transport(transport%uint8(query.Transports)))
	})
}
