// Loads and checks Compose files as Compose does (its own library): tests/contract/test_deploy.py runs it.
// Prints the project as JSON; any fault is one line on standard error and exit code 1.
//
//	go run . PROJECT_FOLDER FILE...
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := check(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(folder string, files []string) error {
	options, err := cli.NewProjectOptions(
		files,
		cli.WithWorkingDirectory(folder),
		cli.WithOsEnv,
		cli.WithDotEnv,
		cli.WithProfiles([]string{"*"}),
	)
	if err != nil {
		return err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	told, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(told)
	return err
}
