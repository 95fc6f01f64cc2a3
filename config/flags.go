package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Flags are the settings that can be given on the command line; they keep the
// names and meanings of the Python domain-park. They override the file. The
// tags are for the command-line parser (kong); ${…} are keys of [FlagHelp].
type Flags struct {
	NameServers []string `name:"nameserver" short:"n" sep:"none" placeholder:"NAME[=IP,...]" help:"A name server of the parked domains, as NAME, NAME=IP,IP or NAME:IP. Repeatable."`
	RUA         []string `name:"rua" sep:"none" placeholder:"MAILBOX" help:"${parking_dmarc_rua} Repeatable."`
	RUF         []string `name:"ruf" sep:"none" placeholder:"MAILBOX" help:"${parking_dmarc_ruf} Repeatable."`
	Host        string   `placeholder:"IP" help:"Address to take UDP and TCP queries on (default: localhost, IPv4 and IPv6), instead of what the file says. With --host or --port nothing else is listened on, unless the file says so."`
	Port        string   `placeholder:"PORT" help:"Port of UDP and TCP (default: 9953), instead of what the file says."`
	TCP         bool     `help:"TCP only, or with --udp both and no other."`
	UDP         bool     `help:"UDP only, or with --tcp both and no other."`
}

// FlagHelp is the help of every setting under the name by which the tags of
// Flags refer to it.
func FlagHelp() map[string]string {
	out := map[string]string{}
	for i := range options {
		out[strings.ReplaceAll(options[i].key, ".", "_")] = Help(options[i].key)
	}
	return out
}

// override sets what flags say, instead of what the file says.
func (l *loader) override(f Flags) {
	l.set("-n", "nameservers", l.nameServers(f.NameServers))
	l.set("--rua", "parking.dmarc.rua", sequence(f.RUA))
	l.set("--ruf", "parking.dmarc.ruf", sequence(f.RUF))
	l.listen(f)
}

// set reads node as the value of key; nil changes nothing.
func (l *loader) set(flag, key string, node *yaml.Node) {
	if node == nil {
		return
	}
	at := Position{File: flag}
	l.settings.given[key], l.settings.written[key] = at, node
	lookup(key).value.read(value{node, key, at, l}, l.settings)
}

// sequence is a list as a file would have it; nil when there is nothing in it.
func sequence(texts []string) *yaml.Node {
	if len(texts) == 0 {
		return nil
	}
	node := &yaml.Node{Kind: yaml.SequenceNode}
	for _, text := range texts {
		node.Content = append(node.Content, word(text))
	}
	return node
}

// word is a text as it would stand in quotes in a file.
func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text}
}

// nameServers turns -n flags into the list that a file would have. The
// addresses of a name that is given more than once come together.
func (l *loader) nameServers(flags []string) *yaml.Node {
	if len(flags) == 0 {
		return nil
	}
	node := &yaml.Node{Kind: yaml.SequenceNode}
	addresses := map[string]*yaml.Node{}
	for _, flag := range flags {
		name, rest, found := cutNameServer(flag)
		list, known := addresses[strings.ToLower(name)]
		if !known {
			list = &yaml.Node{Kind: yaml.SequenceNode}
			addresses[strings.ToLower(name)] = list
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.MappingNode,
				Content: []*yaml.Node{word("name"), word(name), word("addresses"), list}})
		}
		if !found {
			continue
		}
		for address := range strings.SplitSeq(rest, ",") {
			if !slices.ContainsFunc(list.Content, func(n *yaml.Node) bool { return n.Value == address }) {
				list.Content = append(list.Content, word(address))
			}
		}
	}
	return node
}

// cutNameServer splits NAME, NAME=IP,IP and the older NAME:IP.
func cutNameServer(flag string) (name, addresses string, found bool) {
	if name, addresses, found = strings.Cut(flag, "="); found {
		return name, addresses, true
	}
	if _, err := netip.ParseAddr(flag); err == nil {
		return flag, "", false // an IPv6 address is no name with something behind a colon
	}
	return strings.Cut(flag, ":")
}

// plainPort is the port of UDP and TCP when none is given.
const plainPort = "9953"

// listen is what --host, --port, --udp and --tcp come to. Who says where to
// listen says it for everything: what else is listened on by default is off
// then, so that several servers on one machine need no more than a port each.
// --udp and --tcp turn off other transports that the file has, too.
func (l *loader) listen(f Flags) {
	if f.Host == "" && f.Port == "" && !f.TCP && !f.UDP {
		return
	}
	if f.Host != "" || f.Port != "" {
		addresses := l.addresses(f.Host, f.Port)
		l.set("--host", "listen.udp", addresses)
		l.set("--host", "listen.tcp", addresses)
	}
	none := &yaml.Node{Kind: yaml.SequenceNode}
	if f.TCP && !f.UDP {
		l.set("--tcp", "listen.udp", none)
	}
	if f.UDP && !f.TCP {
		l.set("--udp", "listen.tcp", none)
	}
	for i := range options {
		o := &options[i]
		if o.parent() != "listen" || o.key == "listen.udp" || o.key == "listen.tcp" {
			continue
		}
		answers := o.key != "listen.http" && o.key != "listen.admin"
		if !l.settings.Given(o.key) || answers && (f.TCP || f.UDP) {
			l.set("--host", o.key, none)
		}
	}
}

// addresses is the list that --host and --port mean, nil when they are wrong.
func (l *loader) addresses(host, port string) *yaml.Node {
	hosts := []string{strings.Trim(host, "[]")}
	if host == "" || host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	if port == "" {
		port = plainPort
	}
	before := len(l.problems)
	if err := checkPort(port); err != nil {
		value{node: word(port), at: Position{File: "--port"}, load: l}.wrong("a port", err.Error())
	}
	if _, err := parseHostAddress(hosts[0], port); err != nil {
		value{node: word(host), at: Position{File: "--host"}, load: l}.wrong("an address of this machine, or localhost", err.Error())
	}
	if len(l.problems) > before {
		return nil
	}
	for i := range hosts {
		hosts[i] = net.JoinHostPort(hosts[i], port)
	}
	return sequence(hosts)
}
