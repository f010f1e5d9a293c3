// An ESME: node esme.js HOST PORT SYSTEM_ID PASSWORD
const smpp = require('smpp');
const { say, told, read, withHeader } = require('./common');

const [host, port, system_id, password] = process.argv.slice(2);
const session = smpp.connect({ url: `smpp://${host}:${port}` }, () => {
	session.bind_transceiver({ system_id, password, interface_version: 0x34 }, (answer) => say({ bound: answer.command_status, system_id: answer.system_id }));
});
session.on('deliver_sm', (pdu) => {
	session.send(pdu.response());
	say({ deliver: read(pdu) });
});
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('error', (error) => say({ error: String(error) }));
session.on('close', () => say({ closed: true }));

told((command) => {
	const operation = Object.keys(command)[0];
	const fields = command[operation];
	withHeader(fields);
	session[operation](fields, (answer) => say({ answer: answer.command_status, id: answer.message_id, state: answer.message_state }));
});
