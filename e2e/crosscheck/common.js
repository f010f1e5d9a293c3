// What both peers share: they say what they see, and are told what to do, in
// JSON, an object a line.
const readline = require('readline');

exports.say = (object) => process.stdout.write(JSON.stringify(object) + '\n');

exports.told = (handle) => {
	const lines = readline.createInterface({ input: process.stdin });
	lines.on('line', (line) => handle(JSON.parse(line)));
	lines.on('close', () => process.exit(0));
};

// What the package makes of a submit_sm or deliver_sm.
exports.read = (pdu) => {
	const short = pdu.short_message || {};
	let text = short.message;
	if ((text === undefined || text.length === 0) && pdu.message_payload) {
		text = pdu.message_payload.message || pdu.message_payload;
	}
	return {
		from: pdu.source_addr, to: pdu.destination_addr, coding: pdu.data_coding, esm: pdu.esm_class,
		text: Buffer.isBuffer(text) ? null : text,
		octets: Buffer.isBuffer(text) ? text.toString('hex') : null,
		udh: short.udh ? Buffer.concat(short.udh.map((u) => Buffer.from(u))).toString('hex') : null,
		receipted: pdu.receipted_message_id, state: pdu.message_state,
		reference: pdu.sar_msg_ref_num, total: pdu.sar_total_segments, number: pdu.sar_segment_seqnum,
	};
};

// A user data header is given in hexadecimal.
exports.withHeader = (fields) => {
	if (fields.udh) {
		fields.short_message = { udh: Buffer.from(fields.udh, 'hex'), message: fields.short_message };
		fields.esm_class = 0x40;
		delete fields.udh;
	}
};
