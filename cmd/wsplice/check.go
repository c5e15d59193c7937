package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"wsplice/configs"
)

func checkCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Validate a configuration: exit 0, or 1 with every error on stderr",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := load(file, cmd.ErrOrStderr()); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), file+": ok")
			return nil
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", "", "configuration file (YAML)")
	_ = cmd.MarkFlagRequired("config") // fails only for a flag that does not exist
}

// load reads a configuration and writes everything it has to say about it.
func load(file string, out io.Writer) (*configs.Config, error) {
	config, warnings, err := configs.Load(file)
	for _, warning := range warnings {
		fmt.Fprintln(out, warning.String())
	}
	if err != nil {
		fmt.Fprintln(out, err)
		return nil, errReported
	}
	return config, nil
}
