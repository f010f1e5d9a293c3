package httpapi

import "context"

func (r *run) ownsBroadcast(ctx context.Context, id int64) (bool, error) { return false, nil }
