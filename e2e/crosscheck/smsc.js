// An SMSC: node smsc.js. It takes every submit_sm and reports it delivered.
const smpp = require('smpp');
const { say, told, read, withHeader } = require('./common');

let session;
let count = 0;
const server = smpp.createServer({}, (s) => {
	s.on('bind_transceiver', (pdu) => {
		session = s;
		s.send(pdu.response({ system_id: 'npm' }));
		say({ bind: pdu.system_id, password: pdu.password, version: pdu.interface_version });
	});
	s.on('enquire_link', (pdu) => s.send(pdu.response()));
	s.on('unbind', (pdu) => { s.send(pdu.response()); s.close(); say({ unbind: true }); });
	s.on('submit_sm', (pdu) => {
		const id = (++count).toString(16).toUpperCase().padStart(8, '0');
		say({ submit: read(pdu), id });
		s.send(pdu.response({ message_id: id }));
		s.deliver_sm({
			esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT, source_addr: pdu.destination_addr, destination_addr: pdu.source_addr,
			source_addr_ton: pdu.dest_addr_ton, source_addr_npi: pdu.dest_addr_npi,
			short_message: `id:${id} sub:001 dlvrd:001 submit date:2401010101 done date:2401010102 stat:DELIVRD err:000 text:`,
			receipted_message_id: id, message_state: smpp.MESSAGE_STATE.DELIVERED,
		}, (answer) => say({ receipt: answer.command_status }));
	});
	s.on('error', (error) => say({ error: String(error) }));
});
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));

told(({ deliver }) => {
	withHeader(deliver);
	session.deliver_sm(deliver, (answer) => say({ delivered: answer.command_status }));
});
