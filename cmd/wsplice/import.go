package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wsplice/configs"
	"wsplice/importer"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Turn the configuration of another server into YAML",
	}
	for _, f := range []format{
		{"apache", "Apache httpd", "a variable as httpd's -D takes it", importer.Apache},
		{"lighttpd", "lighttpd", "a variable, known as var.NAME and env.NAME", importer.Lighttpd},
	} {
		cmd.AddCommand(f.command())
	}
	return cmd
}

// A format is what another server's configurations are written in.
type format struct {
	name, server, define string
	read                 func(name string, data []byte, o importer.Options) (*importer.Result, error)
}

func (f format) command() *cobra.Command {
	var defines []string
	cmd := &cobra.Command{
		Use:   f.name + " FILE",
		Short: "Print the proxy part of a configuration of " + f.server + " as YAML; FILE may be -",
		Long: "Prints YAML on stdout. What could not be carried over is a comment in it, and a line on stderr.\n" +
			"The exit status is 0 where `wsplice check` accepts the result.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, data, err := readSource(cmd, args[0])
			if err != nil {
				return err
			}
			result, err := f.read(name, data, importer.Options{
				Defines: defined(defines), Files: importer.Disk{}, Supports: supports(),
			})
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), err)
				return errReported
			}
			return deliver(cmd, result)
		},
	}
	cmd.Flags().StringArrayVarP(&defines, "define", "D", nil, f.define+": NAME or NAME=VALUE")
	return cmd
}

// readSource reads a file, or stdin where its name is -.
func readSource(cmd *cobra.Command, name string) (string, []byte, error) {
	if name == "-" {
		data, err := importer.ReadSource(cmd.InOrStdin())
		if err != nil {
			return name, nil, fmt.Errorf("read stdin: %w", err)
		}
		return "stdin", data, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return name, nil, fmt.Errorf("read the configuration to import: %w", err)
	}
	defer f.Close()
	data, err := importer.ReadSource(f)
	if err != nil {
		return name, nil, fmt.Errorf("read the configuration to import: %w", err)
	}
	return name, data, nil
}

// defined reads NAME or NAME=VALUE.
func defined(flags []string) map[string]string {
	all := make(map[string]string, len(flags))
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		all[name] = value
	}
	return all
}

// supports asks package configs what this version can do: it refuses what is
// not written yet by these words.
func supports() func(importer.Feature) bool {
	known := map[importer.Feature]bool{}
	for _, f := range importer.Features() {
		_, _, err := configs.Parse("probe", []byte(f.Probe()))
		known[f] = err == nil || !strings.Contains(err.Error(), "not supported yet")
	}
	return func(f importer.Feature) bool { return known[f] }
}

// deliver prints the result, what there is to say about it, and what check
// finds wrong with it.
func deliver(cmd *cobra.Command, result *importer.Result) error {
	if _, err := cmd.OutOrStdout().Write(result.YAML); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	for _, note := range result.Notes {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
	}
	if result.Routes == 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing that was read can be proxied by wsplice: the result has no routes")
		return errReported
	}
	_, _, err := configs.Parse("stdout", result.YAML)
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	lines = slices.Insert(lines, 0, "the result does not pass check; edit it by hand where it says:")
	fmt.Fprintln(cmd.ErrOrStderr(), strings.Join(lines, "\n"))
	return errReported
}
