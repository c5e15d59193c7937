package importer

import (
	"maps"
	"path/filepath"
)

// Apache reads the proxy part of a configuration of Apache httpd, 2.4 or
// trunk. The name stands in errors and comments, and files that are included
// are looked for beside it.
//
// An error is of type Errors, with file, line and column. What is understood
// but has no counterpart is a Note and a comment of the result. The result may
// have no routes; then package configs refuses it.
func Apache(name string, data []byte, o Options) (*Result, error) {
	r := newReport(name)
	p := &apacheParser{o: &o, r: r, defines: maps.Clone(o.Defines), mainDir: filepath.Dir(name)}
	if p.defines == nil {
		p.defines = map[string]string{}
	}
	var tree []*directive
	p.file(name, data, 0, &tree)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	c := &apacheCollector{
		o: &o, r: r,
		config: &apacheConfig{
			main:      &apacheServer{},
			balancers: map[string]*apacheBalancer{},
			inserted:  map[string]bool{},
			global:    p.notes,
		},
	}
	c.all(tree, apacheScope{server: c.config.main})
	b := &apacheBuilder{o: &o, r: r, config: c.config, upstreams: map[string]*Upstream{}}
	d := b.document(name)
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return finish(d, r, "apache")
}
