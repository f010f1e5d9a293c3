package routers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// UserGrouping splits users into groups of equal size, one exposed name each,
// for A/B tests: Vumi's UserGroupingRouter. A user is assigned in turn, once,
// and stays; all replicas of the dispatcher agree, through the state store.
type UserGrouping struct {
	// GroupMappings says which exposed name serves each group. Groups take turns
	// in the order of their names. Required. Example: `{a: current, b: new}`.
	GroupMappings options.Map[string] `yaml:"group_mappings"`
	// DispatcherName is the name the groups are remembered under; dispatchers
	// that give the same one share their users' groups. Default: the worker's
	// name.
	DispatcherName string `yaml:"dispatcher_name"`
	// TransportMappings sends outbound messages for one transport to another.
	// Default: each goes to the transport it names. Example: `{old: new}`.
	TransportMappings options.Map[string] `yaml:"transport_mappings"`

	// Assignments is a file of users that have a group already, one "user,group"
	// a line (CSV), as exported from another dispatcher's memory. It is read at
	// start; a user who is remembered keeps that group. Example:
	// /etc/switchboard/groups.csv.
	Assignments string `yaml:"assignments"`

	groups    []string // sorted
	apps      map[string]string
	remapping remapping
	exposed   exposed
	state     store.State
	known     recent
}

var (
	_ dispatcher.Router   = (*UserGrouping)(nil)
	_ dispatcher.Checker  = (*UserGrouping)(nil)
	_ dispatcher.Preparer = (*UserGrouping)(nil)
)

// NewUserGrouping is a UserGrouping with its defaults.
func NewUserGrouping() *UserGrouping { return &UserGrouping{} }

// Validate checks the options by themselves.
func (r *UserGrouping) Validate() error {
	return checkFilled(singles(r.GroupMappings), "group_mappings", "an exposed name for each group")
}

// Check checks the options against the dispatcher's connectors.
func (r *UserGrouping) Check(names dispatcher.Names) error {
	var errMap, errApps error
	r.exposed = exposedOf(names)
	r.remapping, errMap = newRemapping(r.TransportMappings, names)
	r.apps, errApps = flat(r.GroupMappings, names.Exposed, "exposed_names", "group_mappings")
	r.groups = nil
	for group := range r.apps {
		r.groups = append(r.groups, group)
	}
	slices.Sort(r.groups)
	return errors.Join(errApps, errMap)
}

// Provision takes the state store the groups are remembered in.
func (r *UserGrouping) Provision(ctx context.Context, env dispatcher.Env) error {
	if env.State == nil {
		return message.Permanent(errors.New("user_grouping remembers users in the state store, and there is none"))
	}
	if r.DispatcherName == "" {
		r.DispatcherName = env.Name
	}
	r.state = env.Shared("groups/" + r.DispatcherName)
	return r.importAssignments(ctx)
}

// Route routes inbound messages by their user's group.
func (r *UserGrouping) Route(ctx context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Outbound:
		return r.remapping.outbound(&a)
	case message.EventFlow:
		return r.exposed.event(&a)
	}
	if a.Message.From == "" {
		return nil, refuse(&a, "it has no from_addr to find a group for")
	}
	group, err := r.group(ctx, a.Message.From)
	if err != nil {
		return nil, err
	}
	return ruled(rule("group_mappings", group), r.apps[group]), nil
}

// turnKey counts the users that were given a group.
const turnKey = "turn"

func userKey(user string) string { return "user/" + user }

func (r *UserGrouping) group(ctx context.Context, user string) (string, error) {
	if group := r.known.get(user); group != "" {
		return group, nil
	}
	group, err := r.assigned(ctx, userKey(user))
	if err != nil {
		return "", fmt.Errorf("finding a user's group: %w", err)
	}
	r.known.put(user, group)
	return group, nil
}

// assigned is the group remembered under key, which is made up when there is
// none. Where the group was taken out of the file since, its users are assigned
// anew, under a key that says after which group; so all replicas agree again.
func (r *UserGrouping) assigned(ctx context.Context, key string) (string, error) {
	found, err := r.state.Get(ctx, key)
	if err != nil {
		return "", err
	}
	group := found[key]
	if group == "" {
		turn, err := r.state.Increment(ctx, turnKey, 1, 0)
		if err != nil {
			return "", err
		}
		fresh := r.groups[(turn-1)%int64(len(r.groups))]
		// Another replica may have been faster: its word counts.
		if group, _, err = r.state.Add(ctx, store.Entry{Key: key, Value: fresh}); err != nil {
			return "", err
		}
	}
	if _, there := r.apps[group]; there {
		return group, nil
	}
	return r.assigned(ctx, key+"/after/"+strings.ReplaceAll(group, "/", "_"))
}
