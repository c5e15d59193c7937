// Package configs reads wsplice's YAML file and returns plain data that is
// checked, complete with defaults, and free of YAML.
//
// It opens no socket and resolves no name: besides the file itself it reads
// only the admin token file, to say early that it is missing or empty. It
// holds no state; a Config is never changed after Load returns it and may be
// read by any goroutine.
package configs
