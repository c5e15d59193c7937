package importer

import (
	"fmt"
	"slices"
	"strings"
)

// Lighttpd reads wstunnel.*, proxy.* and what surrounds them of a configuration
// of lighttpd 1.4. The name stands in errors and comments, and files that are
// included are looked for beside it. Options.Defines are variables, as var.NAME
// and env.NAME.
//
// An error is of type Errors, with file, line and column. What is understood
// but has no counterpart is a Note and a comment of the result. The result may
// have no routes; then package configs refuses it.
func Lighttpd(name string, data []byte, o Options) (*Result, error) {
	r := newReport(name)
	p := newLighttpdParser(name, &o, r)
	root := &lighttpdBlock{}
	if !p.file(name, data, root) {
		return nil, r.errs
	}
	b := &lighttpdBuilder{o: &o, r: r, names: map[string]bool{}, targets: map[string]*lighttpdTarget{}}
	d := b.document(name, root)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	d.Global = append(p.notes, d.Global...)
	return finish(d, r, "lighttpd")
}

// finish makes the result of a document that is complete.
func finish(d *Document, r *report, format string) (*Result, error) {
	title := fmt.Sprintf("Made by `wsplice import %s %s`. Comments say which line a part came from.", format, d.Source)
	d.Title = append([]string{title}, d.Title...)
	if d.routeCount() == 0 {
		d.Title = append(d.Title, "There is no route in it: nothing that was read is proxied in a way that wsplice can take over.")
	}
	d.Leftovers = r.leftovers()
	notes := d.notes()
	if len(notes) > notesMax {
		return nil, Errors{{
			Pos:  Pos{File: d.Source, Line: 1, Column: 1},
			Text: fmt.Sprintf("more than %d lines cannot be carried over: is this a configuration of %s?", notesMax, format),
		}}
	}
	r.sort(notes)
	return &Result{YAML: d.render(), Notes: notes, Routes: d.routeCount()}, nil
}

// A lighttpdBuilder makes the Document of blocks.
type lighttpdBuilder struct {
	o *Options
	r *report
	d *Document

	names   map[string]bool // of upstreams
	targets map[string]*lighttpdTarget
	spawns  bool // wsplice starts backends
	dial    lighttpdTimeout
}

// A lighttpdScope is what holds inside a block: every condition around it, and
// every option, the innermost last.
type lighttpdScope struct {
	conds   []*lighttpdCond
	options map[string]lighttpdOption
}

// option returns the value of a key that holds in the scope.
func (s *lighttpdScope) option(key string) (lighttpdOption, bool) {
	o, ok := s.options[key]
	return o, ok
}

// inner returns the scope of a block inside s.
func (s *lighttpdScope) inner(b *lighttpdBlock) *lighttpdScope {
	in := &lighttpdScope{options: map[string]lighttpdOption{}}
	if s != nil {
		in.conds = append(in.conds, s.conds...)
		for key, o := range s.options {
			in.options[key] = o
		}
	}
	if b.cond != nil && b.cond.op != "else" {
		in.conds = append(in.conds, b.cond)
	}
	for _, o := range b.options {
		in.options[o.key] = o
	}
	return in
}

// document walks the blocks.
func (b *lighttpdBuilder) document(name string, root *lighttpdBlock) *Document {
	b.d = &Document{Source: name}
	scope := (*lighttpdScope)(nil).inner(root)
	b.listeners(root, scope)
	b.block(root, nil, false)
	b.d.Timeouts.Dial = b.dial.longest
	if b.d.routeCount() > routesMax {
		b.r.errorAt(Pos{File: name, Line: 1, Column: 1}, "more than %d routes in all; split the configuration", routesMax)
	}
	for _, key := range []string{"server.username", "server.groupname", "server.chroot"} {
		if o, given := scope.option(key); given && b.spawns {
			b.d.Global = append(b.d.Global, Note{Pos: o.Pos, Warning: true, Text: key +
				": the backends run as whoever starts wsplice; start it as that user, by User= of its unit"})
		}
	}
	if _, given := scope.option("server.max-read-idle"); !given && b.d.routeCount() > 0 {
		b.d.Title = append(b.d.Title,
			"lighttpd ends tunnels whose client is silent for 60s (server.max-read-idle); wsplice does only where idle_timeout says so.")
	}
	hoist(b.d)
	unique(b.d)
	return b.d
}

// block makes the routes of a block. Of two blocks that both match, lighttpd
// lets the later one win; of a chain of else, the first. What stands under a
// mere else holds for everything but the chain before it, whose members get
// routes of their own for that.
func (b *lighttpdBuilder) block(block *lighttpdBlock, outer *lighttpdScope, must bool) {
	scope := outer.inner(block)
	elsewhere := scope
	chains := chainsOf(block.children)
	for _, chain := range chains {
		if last := chain[len(chain)-1]; last.cond.op == "else" {
			elsewhere = elsewhere.inner(last)
		}
	}
	b.mixed(chains)
	for _, chain := range slices.Backward(chains) {
		last := chain[len(chain)-1]
		for _, child := range chain {
			switch {
			case child.cond.op == "else":
				b.block(&lighttpdBlock{at: child.at, cond: child.cond, children: child.children}, elsewhere, false)
			case last.cond.op == "else":
				b.block(child, scope, true)
			default:
				b.block(child, elsewhere, false)
			}
		}
	}
	b.options(block)
	if block.cond == nil || block.cond.op != "else" && (must || routed(block)) {
		b.routes(block, elsewhere, outer)
	}
}

// chainsOf groups blocks by their else.
func chainsOf(children []*lighttpdBlock) (chains [][]*lighttpdBlock) {
	for _, child := range children {
		if child.cond.negated && len(chains) > 0 {
			last := &chains[len(chains)-1]
			*last = append(*last, child)
			continue
		}
		chains = append(chains, []*lighttpdBlock{child})
	}
	return chains
}

// mixed warns of options that lighttpd joins from two conditions, where of two
// routes only the first is taken.
func (b *lighttpdBuilder) mixed(chains [][]*lighttpdBlock) {
	var first *lighttpdCond
	for _, chain := range chains {
		c := chain[0].cond
		switch {
		case !slices.ContainsFunc(chain, routed):
		case first == nil:
			first = c
		case c.field != first.field || c.name != first.name:
			b.d.Global = append(b.d.Global, Note{Pos: c.Pos, Warning: true, Text: fmt.Sprintf(
				"%s: where %s holds as well (%s), lighttpd takes options from both and wsplice the first route; look at both",
				c.source(), first.source(), first.short(b.r.main))})
		}
	}
}

// routed reports whether a block says anything about routes, so that it needs
// some of its own.
func routed(block *lighttpdBlock) bool {
	return slices.ContainsFunc(block.options, func(o lighttpdOption) bool { return lighttpdRouteKeys[o.key] })
}

// routes makes the routes of all servers that hold in a scope. Of the modules
// wstunnel comes first: it lets requests pass that are no upgrade.
func (b *lighttpdBuilder) routes(block *lighttpdBlock, scope, outer *lighttpdScope) {
	where := b.where(scope)
	where.outer = outer.serves()
	if where.wrong != "" {
		at := block.cond
		b.item(Item{Notes: []Note{where.left(at.Pos, at.source()+": "+where.wrong)}})
		return
	}
	for _, module := range []string{"wstunnel", "proxy"} {
		servers, ok := scope.option(module + ".server")
		if !ok || where.loose && !changes(block, module) {
			continue
		}
		if !servers.value.list() {
			b.r.errorAt(servers.Pos,
				`%s.server: a list is expected: ( "/path" => ( ( "host" => "127.0.0.1", "port" => 9000 ) ) )`, module)
			return
		}
		b.module(module, servers, scope, where)
	}
}

// serves reports whether a scope has routes of its own.
func (s *lighttpdScope) serves() bool {
	if s == nil {
		return false
	}
	_, tunnels := s.option("wstunnel.server")
	_, requests := s.option("proxy.server")
	return tunnels || requests
}

// left is the note for what is left out. Where the routes of a block around it
// serve those requests instead, the result may let in more than the source.
func (w *lighttpdWhere) left(pos Pos, text string) Note {
	if w.outer {
		text += "; until then the routes around it serve what it is about"
	}
	return Note{Pos: pos, Text: text, Warning: w.outer}
}

// changes reports whether a block says anything about a module.
func changes(block *lighttpdBlock, module string) bool {
	return slices.ContainsFunc(block.options, func(o lighttpdOption) bool { return strings.HasPrefix(o.key, module+".") })
}

func (b *lighttpdBuilder) item(i Item) { b.d.Items = append(b.d.Items, i) }
