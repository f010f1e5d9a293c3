package message

// extra collects the members that are none of the record's own.
func extra(members []member, r record) Object {
	o := Object{members: []member{}}
	for _, m := range members {
		if !known(m.key, r) {
			o.members = append(o.members, m)
		}
	}
	return o
}

func setExtra(members *[]member, r record, key string, value any) {
	if known(key, r) {
		return
	}
	o := Object{members: *members}
	o.Set(key, value)
	*members = o.members
}

func known(key string, r record) bool {
	switch key {
	case "timestamp", "message_type", "message_version":
		return true
	}
	return r.text(key) != nil || r.object(key) != nil
}
