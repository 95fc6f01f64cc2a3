//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
)

// window is how many questions are sent before their answers are read: as many
// as one system call of the server takes, so that it costs what it does under
// load, and no more than the smallest receive buffer holds.
const window = 64

// ask asks n questions of the server at address and reads every answer.
func ask(address string, all [][]byte, n int) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	var buf [4096]byte
	for i := 0; i < n; {
		sent := min(window, n-i)
		for range sent {
			if _, err := conn.Write(all[i%len(all)]); err != nil {
				return err
			}
			i++
		}
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		for range sent {
			k, err := conn.Read(buf[:])
			if err != nil {
				return err
			}
			if k < 4 || buf[3]&0xf != dns.RcodeSuccess {
				return fmt.Errorf("answer %x: expected NOERROR", buf[:min(k, 12)])
			}
		}
	}
	return nil
}

// await asks one question until it is answered.
func await(address string, question []byte, ended <-chan error) error {
	const patience = time.Minute // under valgrind a start takes seconds
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case err := <-ended:
			return fmt.Errorf("the server ended: %w", err)
		default:
		}
		if answered(address, question) {
			return nil
		}
	}
	return errors.New("the server does not answer")
}

func answered(address string, question []byte) bool {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	if _, err := conn.Write(question); err != nil {
		return false
	}
	var buf [4096]byte
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		return false
	}
	_, err = conn.Read(buf[:])
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		time.Sleep(50 * time.Millisecond) // refused: nobody has the port yet
	}
	return err == nil
}
