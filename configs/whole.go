package configs

// whole checks what concerns more than one section.
func (d *decoder) whole(n *node, c *Config) {
	if n.get("listeners") == nil {
		d.errorAt(n.Pos, "the file has no listeners; add `listeners: [{address: \":8080\"}]`")
	}
	if n.get("routes") == nil {
		d.errorAt(n.Pos, "the file has no routes; add `routes: [{path: /, to: \"ws://127.0.0.1:9000\"}]`")
	}
	d.duplicateListeners(c)
}
