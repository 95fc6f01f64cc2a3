//go:build !unix

package main

import (
	"errors"
	"log/slog"
)

func (srv *server) giveStore(*identity) error { return nil }

func (srv *server) become(id *identity, _ *slog.Logger) error {
	if id != nil {
		return errors.New("user: this system has no users that a program could become; hint: take it out")
	}
	return nil
}

func (p *plan) rightsFindings(bool) ([]finding, error) { return nil, nil }
