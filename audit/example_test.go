package audit

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"domainpark/listeners"
)

// This server parks example.com, and so the domain passes. Its name servers' own
// domain is a zone here, which lets the reports in.
func ExampleAudit() {
	port, err := freePort()
	if err != nil {
		fmt.Println(err)
		return
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
	_, stop, err := startPark(listeners.Config{UDP: []string{at.String()}, TCP: []string{at.String()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	a := New(Config{Server: Server{Addr: at}, Resolvers: []netip.AddrPort{at}})
	defer a.Close()
	a.Domain(context.Background(), "example.com").Write(os.Stdout, Style{})

	// Output:
	// example.com: pass (20 pass, 3 info)
	//   pass  NS             example.com                 ns1.park.example, ns2.park.example
	//   pass  UDP            example.com                 answers over udp
	//   pass  TCP            example.com                 answers over tcp
	//   pass  SOA serial     example.com                 1
	//   pass  recursion      example.com                 not offered
	//   pass  names          example.com                 none with records is denied
	//   pass  null MX        example.com                 0 .
	//   pass  null MX        *.example.com               0 .
	//   pass  SPF            example.com                 v=spf1 -all
	//   pass  SPF            *.example.com               v=spf1 -all
	//   pass  DMARC          _dmarc.example.com          v=DMARC1; p=reject; sp=reject; np=reject; adkim=s; aspf=s; rua=mailto:reports@park.example;
	//   pass  DMARC          _dmarc.*.example.com        nothing of its own
	//   pass  DKIM           *._domainkey.example.com    v=DKIM1; p=
	//   pass  DKIM           *._domainkey.*.example.com  v=DKIM1; p=
	//   pass  BIMI           default._bimi.example.com   v=BIMI1; l=; a=;
	//   pass  CAA            example.com                 issue ";", issuewild ";", issuemail ";"
	//   pass  CAA            *.example.com               issue ";", issuewild ";", issuemail ";"
	//   pass  MTA-STS        _mta-sts.example.com        nothing there
	//   pass  TLS-RPT        _smtp._tls.example.com      nothing there
	//   info  address        example.com                 no A record: no website
	//   info  address        example.com                 no AAAA record: no website
	//   pass  DMARC reports  example.com                 wanted by park.example
	//   info  DNSSEC         example.com                 unsigned
}
