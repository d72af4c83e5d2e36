package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/m3o/platform/internal/account"
	"github.com/m3o/platform/internal/config"
	"github.com/m3o/platform/internal/control"
	"github.com/m3o/platform/internal/fault"
	"github.com/m3o/platform/internal/secret"
	"github.com/m3o/platform/internal/store"
	"github.com/m3o/platform/internal/ticket"
	"github.com/m3o/platform/workers"
)

type migrateFlags struct {
	adminToken string
	current    string
	retention  time.Duration
	say        func(format string, args ...any)
}

func migrateCommand() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{Use: "migrate", Short: "Prepare database, Temporal and keys for this version", GroupID: groupServe, Args: takes(0, 0),
		Long: "Prepare what the other processes need, as far as it is configured, and leave alone what is there: the database's schema; the keys\n" +
			"in the files that the settings name, made if there are none; an administrator's token, unless somebody operates the platform already;\n" +
			"Temporal's namespace " + control.Namespace + " with its retention and search attributes. Run it before the first start and before\n" +
			"each new version. Running it twice, or on several machines at once, is harmless; files of keys are made once and brought to the\n" +
			"other machines.\n\n" +
			"A new version's workers start beside the old ones and wait. With --current, their build takes over: workflows begin on it,\n" +
			"and those that are not in the middle of an operation move to it. Then the builds are listed, with which of them hold nothing\n" +
			"any more: those workers can go.\n\n" +
			"Settings come from the environment:\n" + config.Describe(config.Migrate),
		Example: "  m3o migrate --admin-token admin.token && M3O_TOKEN=$(cat admin.token) m3o whoami\n" +
			"  m3o migrate --current $(m3o version)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.retention < 24*time.Hour {
				return misuse("--retention: %s is less than 24h", f.retention)
			}
			f.say = func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
			return f.migrate(cmd.Context(), config.Load(config.Migrate))
		}}
	flags := cmd.Flags()
	flags.StringVar(&f.adminToken, "admin-token", "", "file with a token whose holder may do everything; made, for its owner alone to read, if there is none")
	flags.StringVar(&f.current, "current", "", "the build (version, or M3O_WORKER_BUILD) that takes over from the one before")
	flags.DurationVar(&f.retention, "retention", control.Retention, "how long Temporal keeps ended workflows, at least")
	return cmd
}

// migrate prepares one thing after the other. Each finds or makes.
func (f migrateFlags) migrate(ctx context.Context, s config.Settings) error {
	if err := f.database(ctx, s); err != nil {
		return err
	}
	if err := makeKeys(s); err != nil {
		return err
	}
	if s.PayloadKeys != "" {
		f.say("Payload keys are in %s.", s.PayloadKeys)
	}
	if s.TicketKey != "" {
		f.say("The key that signs tickets is in %s.", s.TicketKey)
	}
	if s.LinkKey != "" {
		f.say("The key that signs links in mails is in %s.", s.LinkKey)
	}
	if s.Temporal == "" {
		if f.current != "" {
			return misuse("--current: M3O_TEMPORAL must be set")
		}
		f.say("Temporal was left out: M3O_TEMPORAL is not set.")
		return nil
	}
	if err := control.Prepare(ctx, temporalAt(s), f.retention); err != nil {
		return err
	}
	f.say("Temporal's namespace %s is ready.", cmp.Or(s.TemporalNamespace, control.Namespace))
	if f.current == "" {
		return nil
	}
	return f.takeOver(ctx, s)
}

// takeOver has a build's workers take over, and tells which others are still needed.
func (f migrateFlags) takeOver(ctx context.Context, s config.Settings) error {
	signals, err := openSignals(ctx, s, "migrate")
	if err != nil {
		return err
	}
	defer closeSignals(ctx, signals)
	b, err := connect(ctx, s, signals)
	if err != nil {
		return err
	}
	defer b.close()
	if err := workers.TakeOver(ctx, b.temporal, f.current); err != nil {
		return fmt.Errorf("--current: %w", err)
	}
	builds, err := workers.Builds(ctx, b.temporal)
	if err != nil {
		return err
	}
	for _, build := range builds {
		switch {
		case build.Current:
			f.say("Build %s is current.", build.ID)
		case build.Empty:
			f.say("Build %s holds nothing any more: its workers can go.", build.ID)
		case build.Holds:
			f.say("Build %s may hold operations that began on it: keep its workers, and look again.", build.ID)
		default:
			f.say("Build %s has not taken over.", build.ID)
		}
	}
	return nil
}

func (f migrateFlags) database(ctx context.Context, s config.Settings) error {
	db, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer db.Close()
	f.say("The database is up to date.")
	if f.adminToken == "" {
		return nil
	}
	switch err := admit(ctx, db, f.adminToken); {
	case fault.Is(err, fault.Conflict):
		f.say(notAdmitted, f.adminToken, fault.Message(err))
	case err != nil:
		return fmt.Errorf("--admin-token: %w", err)
	default:
		f.say("The administrator's token is in %s.", f.adminToken)
	}
	return nil
}

// notAdmitted says that the token in a file was not let in, and why.
const notAdmitted = "The token in %s lets nobody in by itself: %s."

// makeKeys makes the keys of the settings that are not there.
func makeKeys(s config.Settings) error {
	if s.PayloadKeys != "" {
		keys, err := control.LoadOrCreateKeys(s.PayloadKeys)
		if err != nil {
			return fmt.Errorf("M3O_PAYLOAD_KEYS: %w", err)
		}
		if _, err := control.NewCodec(keys); err != nil {
			return fmt.Errorf("M3O_PAYLOAD_KEYS: %w", err)
		}
	}
	if err := makeSigningKey("M3O_TICKET_KEY", s.TicketKey, "M3O_TICKET_PUBLIC_KEYS", s.TicketKeys); err != nil {
		return err
	}
	return makeSigningKey("M3O_LINK_KEY", s.LinkKey, "M3O_LINK_PUBLIC_KEYS", s.LinkKeys)
}

// makeSigningKey makes the key of a setting, and writes its public half to the file of another, as far as they are set.
func makeSigningKey(variable, path, publicVariable, public string) error {
	switch {
	case path == "" && public == "":
		return nil
	case path == "":
		return misuse("%s must be set, too: %s is its public half", variable, publicVariable)
	}
	signer, err := ticket.LoadOrCreate(path)
	if err != nil {
		return fmt.Errorf("%s: %w", variable, err)
	}
	if public == "" {
		return nil
	}
	return signer.Publish(public)
}

// admit lets the holder of the token in the file operate the platform; it is made if there is none. The database keeps its
// hash. That somebody else operates the platform already is a conflict.
func admit(ctx context.Context, db *store.Store, path string) error {
	token, err := secret.LoadOrMake(path, func() string { return account.NewSecret(account.PersonToken) })
	if err != nil {
		return err
	}
	if err := account.CheckSecret(token, account.PersonToken); err != nil {
		return fmt.Errorf("%s: %w; remove the file, and one is made", path, err)
	}
	return db.Bootstrap(ctx, account.Hash(token), "admin.token")
}

// loadSigner reads the key that signs tickets.
func loadSigner(s config.Settings) (*ticket.Signer, error) {
	if s.TicketKey == "" {
		return nil, misuse("M3O_TICKET_KEY must be set: the file with the key that signs tickets, which `m3o migrate` makes")
	}
	signer, err := ticket.Load(s.TicketKey)
	if err != nil {
		return nil, fmt.Errorf("M3O_TICKET_KEY (`m3o migrate` makes it): %w", err)
	}
	return signer, nil
}

// loadTicketKeys reads the public keys of tickets, which gateways are given.
func loadTicketKeys(s config.Settings) ([]byte, error) {
	if s.TicketKeys == "" {
		return nil, misuse("M3O_TICKET_PUBLIC_KEYS must be set: the file with the public keys of tickets, which `m3o migrate` writes where M3O_TICKET_KEY is")
	}
	keys, err := ticket.LoadDocument(s.TicketKeys)
	if err != nil {
		return nil, fmt.Errorf("M3O_TICKET_PUBLIC_KEYS (`m3o migrate` writes it): %w", err)
	}
	return keys, nil
}
