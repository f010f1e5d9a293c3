// A poll: everybody has one vote.
function onMessage(message) {
  var choices = config.choices;
  var votes = shared.get("votes") || {};
  var choice = choices[Number(message.content) - 1];
  if (state.get("voted") || !choice) {
    return choices.map(function (name, i) {
      return (i + 1) + ". " + name + ": " + (votes[name] || 0);
    }).join("\n");
  }
  votes[choice] = (votes[choice] || 0) + 1;
  shared.set("votes", votes);
  state.set("voted", choice);
  reply("You voted for " + choice + ".", {end: true});
}
