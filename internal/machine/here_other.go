//go:build !linux

package machine

import (
	"context"
	"errors"
)

func room(string) (Space, error) { return Space{}, errors.ErrUnsupported }

func isolate(context.Context) error { return errors.ErrUnsupported }
