package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

func (st *step) message(id uint16) []byte {
	message, err := buildMessage(st.text, id)
	if err != nil {
		panic(err) // readScenario has built it before
	}
	return message
}

// buildMessage makes the message of a "query" or "hex" line.
func buildMessage(text string, id uint16) ([]byte, error) {
	words := strings.Fields(text)
	if words[0] == "hex" {
		return hex.DecodeString(strings.Join(words[1:], ""))
	}
	if len(words) < 3 {
		return nil, fmt.Errorf("expected query TYPE NAME, found %q", text)
	}
	qtype, ok := dns.StringToType[words[1]]
	if number, isNumber := strings.CutPrefix(words[1], "TYPE"); !ok && isNumber {
		n, err := strconv.ParseUint(number, 10, 16)
		qtype, ok = uint16(n), err == nil
	}
	if !ok {
		return nil, fmt.Errorf("unknown type %q", words[1])
	}
	m := new(dns.Msg)
	m.Id = id
	m.Question = []dns.Question{{Name: dns.Fqdn(words[2]), Qtype: qtype, Qclass: dns.ClassINET}}
	for _, word := range words[3:] {
		if err := addWord(m, word); err != nil {
			return nil, err
		}
	}
	return m.Pack()
}

func addWord(m *dns.Msg, word string) error {
	key, value, _ := strings.Cut(word, "=")
	flags := map[string]*bool{"rd": &m.RecursionDesired, "cd": &m.CheckingDisabled, "ad": &m.AuthenticatedData,
		"aa": &m.Authoritative, "tc": &m.Truncated, "ra": &m.RecursionAvailable, "z": &m.Zero}
	if flag, ok := flags[word]; ok {
		*flag = true
		return nil
	}
	n, err := strconv.ParseUint(value, 0, 16)
	if key == "class" {
		m.Question[0].Qclass, err = dns.StringToClass[value], nil
		if value == "0" {
			return nil
		}
		if m.Question[0].Qclass == 0 {
			err = fmt.Errorf("unknown class %q", value)
		}
		return err
	}
	if key == "opcode" {
		m.Opcode = int(n)
		return err
	}
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, false)
	}
	opt := m.IsEdns0()
	switch key {
	case "edns":
	case "do":
		opt.SetDo()
	case "size":
		opt.SetUDPSize(uint16(n))
		return err
	case "version":
		opt.SetVersion(uint8(n))
		return err
	case "flags":
		opt.Hdr.Ttl |= uint32(n)
		return err
	case "nsid":
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0NSID})
	case "keepalive":
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE})
	case "option":
		code, data, _ := strings.Cut(value, ":")
		c, err := strconv.ParseUint(code, 10, 16)
		if err != nil {
			return err
		}
		raw, err := hex.DecodeString(data)
		opt.Option = append(opt.Option, &dns.EDNS0_LOCAL{Code: uint16(c), Data: raw})
		return err
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

// framed puts a message behind its length (RFC 1035 §4.2.2).
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}
