package httpapi

// Operations are those that the code serves.
func Operations() (all []string) {
	for _, one := range table {
		all = append(all, one.method+" "+one.path)
	}
	return all
}

// ProblemTypes are the types of all problems.
func ProblemTypes() (all []string) {
	for _, p := range allProblems() {
		all = append(all, p.Type)
	}
	return all
}

// QueueOf is which of the queues a person's messages wait in.
func QueueOf(person string) int { return queueOf("person " + person) }
