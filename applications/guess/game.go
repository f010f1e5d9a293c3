package guess

import (
	"fmt"
	"strconv"
	"strings"

	"switchboard/message"
)

// game is what is remembered of one person.
type game struct {
	Secret int  `json:"secret"`
	Low    int  `json:"low"`  // what the person can know by now:
	High   int  `json:"high"` // the number is between the two
	Tries  int  `json:"tries"`
	Over   bool `json:"over"` // the number is found
	Best   int  `json:"best"` // the fewest guesses; 0 is none yet
	Won    int  `json:"won"`
	Last   turn `json:"last"`
}

// turn is the last message and its answer.
type turn struct {
	ID   string `json:"id"`
	Text string `json:"text"`
	End  bool   `json:"end"`
}

func (t turn) reply(m *message.Message) []*message.Message {
	if t.End {
		return []*message.Message{m.Reply(t.Text, message.EndSession)}
	}
	return []*message.Message{m.Reply(t.Text)}
}

const help = `Send a number to guess, "new" for another number, "quit" to stop.`

// move plays what a person wrote and returns the answer.
func (a *Application) move(g *game, m *message.Message) turn {
	word := strings.ToLower(strings.Trim(m.Content, " \t\r\n.!?\"'"))
	began := g.Secret == 0 && g.High == 0
	if began || g.stale(a) {
		a.begin(g)
	}
	number, err := strconv.Atoi(word)
	switch {
	case err == nil && m.SessionEvent != message.SessionNew:
		return turn{m.ID, a.guess(g, number), false}
	case word == "quit", word == "stop", word == "bye", word == "exit", word == "no":
		return turn{m.ID, g.goodbye(), true}
	case word == "new", word == "play", word == "yes", word == "again":
		a.begin(g)
		return turn{m.ID, a.greeting(), false}
	case began:
		return turn{m.ID, a.greeting() + " " + help, false}
	case m.SessionEvent == message.SessionNew:
		return turn{m.ID, a.welcomeBack(g), false}
	}
	return turn{m.ID, help + " " + g.known(), false}
}

// stale says that the options were changed since the game began.
func (g *game) stale(a *Application) bool { return g.Secret < a.Lowest || g.Secret > a.Highest }

func (a *Application) begin(g *game) {
	g.Secret, g.Low, g.High = a.think(a.Lowest, a.Highest), a.Lowest, a.Highest
	g.Tries, g.Over = 0, false
}

func (a *Application) guess(g *game, number int) string {
	if g.Over {
		a.begin(g)
	}
	switch {
	case number < a.Lowest || number > a.Highest:
		return fmt.Sprintf("The number is between %d and %d.", a.Lowest, a.Highest)
	case number < g.Low || number > g.High:
		g.Tries++
		return fmt.Sprintf("You could have known that it is not %d! %s", number, g.known())
	case number == g.Secret:
		g.Tries++
		return g.win()
	}
	return g.miss(number)
}

func (g *game) miss(number int) string {
	g.Tries++
	side := "low"
	if number > g.Secret {
		side, g.High = "high", number-1
	} else {
		g.Low = number + 1
	}
	return fmt.Sprintf("%d is %s %s. %s", number, closeness(number-g.Secret), side, g.known())
}

// closeness says how far off a guess is.
func closeness(off int) string {
	switch off = max(off, -off); {
	case off <= 2:
		return "only just too"
	case off <= 10:
		return "a bit too"
	case off <= 30:
		return "too"
	}
	return "far too"
}

func (g *game) win() string {
	record := g.Best > 0 && g.Tries < g.Best
	if g.Best == 0 || record {
		g.Best = g.Tries
	}
	g.Won++
	g.Over = true
	text := fmt.Sprintf("Yes, it is %d! You needed %s", g.Secret, count(g.Tries, "guess", "guesses"))
	switch {
	case record:
		text += ", your best so far."
	case g.Won > 1:
		text += fmt.Sprintf("; your best is %d.", g.Best)
	default:
		text += "."
	}
	return text + ` Again? Send "yes" or "quit".`
}

// known is what the person can know by now.
func (g *game) known() string {
	switch {
	case g.Over:
		return `Send "yes" to play again.`
	case g.Low == g.High:
		return "There is only one number left!"
	}
	return fmt.Sprintf("It is between %d and %d.", g.Low, g.High)
}

func (a *Application) greeting() string {
	return fmt.Sprintf("I am thinking of a number between %d and %d. Which one?", a.Lowest, a.Highest)
}

func (a *Application) welcomeBack(g *game) string {
	if g.Over || g.Tries == 0 {
		if g.Over {
			a.begin(g)
		}
		return "Welcome back! " + a.greeting()
	}
	return fmt.Sprintf("Welcome back! You have made %s. %s", count(g.Tries, "guess", "guesses"), g.known())
}

func (g *game) goodbye() string {
	if g.Won == 0 {
		return "Goodbye! I keep your number in mind."
	}
	return fmt.Sprintf("Goodbye! You have found %s, with %s at best.",
		count(g.Won, "number", "numbers"), count(g.Best, "guess", "guesses"))
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
