package certs

import (
	"time"

	"domainpark/store"
)

// ticketPeriod is how often the ticket keys change. A ticket is accepted in the
// period it was made in and in the next one, so for a day at least and two at
// most, of the seven that RFC 8446 §4.6.1 allows.
const ticketPeriod = 24 * time.Hour

// rollTickets sets the session ticket keys of the day. Every server with the
// same seed has the same ones and accepts what another gave out. They can be
// worked out from the seed for any day: with it, sessions of TLS 1.2 that were
// resumed can be read afterwards; those of TLS 1.3 can't, but for 0-RTT data.
func (s *Source) rollTickets(now time.Time) {
	r := s.keys.Rolling("tls tickets", ticketPeriod, now)
	s.tickets.SetSessionTicketKeys([][32]byte{r.Current, r.Previous, r.Next})
}

// QUICKeys are what a QUIC endpoint shares with the other servers of a fleet.
// They do not roll over. A stateless reset must be recognised for as long as
// the connection may have lasted (RFC 9000 §10.3.2), and quic-go takes both
// once, when the endpoint is made: a date in the token key would only have
// servers that were started on different days refuse each other's tokens.
type QUICKeys struct {
	Token [store.KeyBytes]byte // for address validation tokens (RFC 9000 §8.1)
	Reset [store.KeyBytes]byte // for stateless reset tokens (RFC 9000 §10.3)
}

// QUICKeys returns the keys for QUIC endpoints.
func (s *Source) QUICKeys() QUICKeys {
	return QUICKeys{Token: s.keys.Fixed("quic token"), Reset: s.keys.Fixed("quic stateless reset")}
}
