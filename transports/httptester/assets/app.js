// The phones of the page. Everything that is shown comes from the stream of
// events, also what was typed here: it appears when the broker has it.
'use strict';

const $ = (id) => document.getElementById(id);
const maxEntries = Number(document.body.dataset.max);
const phones = new Map(); // number → {element, talk, session}
const entries = []; // as received, oldest first, for phones that are opened later
const remembered = 'switchboard-phones ' + location.pathname;

// post sends a form and returns what is wrong, or '' and the answer.
async function post(where, fields) {
  try {
    const response = await fetch(where, { method: 'POST', body: new URLSearchParams(fields) });
    const text = await response.text();
    return response.ok ? { text } : { problem: text || response.statusText };
  } catch {
    return { problem: 'The page cannot reach its transport. Is it running?' };
  }
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// --- phones

function openPhone(number, focus) {
  number = number.trim();
  if (!number) return;
  if (!phones.has(number)) makePhone(number);
  const phone = phones.get(number);
  if (focus) {
    phone.element.scrollIntoView({ block: 'nearest' });
    phone.input.focus({ preventScroll: true });
  }
}

function makePhone(number) {
  const made = $('phone-template').content.firstElementChild.cloneNode(true);
  const find = (selector) => made.querySelector(selector);
  const phone = { element: made, number, talk: find('.talk'), input: find('input'), session: false, sessionButton: find('.session'), problem: find('.problem') };
  made.dataset.number = number;
  made.setAttribute('aria-label', 'Phone ' + number);
  find('h2').textContent = number;
  phone.talk.setAttribute('aria-label', 'Messages of ' + number);
  phone.input.setAttribute('aria-label', 'Message from ' + number);
  phone.input.placeholder = 'Message';
  find('.close').setAttribute('aria-label', 'Take phone ' + number + ' away');
  find('.close').addEventListener('click', () => closePhone(phone));
  find('.clear').addEventListener('click', () => post('clear', { phone: number }).then((done) => complain(phone, done)));
  phone.sessionButton.addEventListener('click', () => send(phone, phone.session ? 'close' : 'new'));
  find('form').addEventListener('submit', (event) => {
    event.preventDefault();
    if (phone.input.value.trim() || phone.session) send(phone, phone.session ? 'resume' : '');
  });
  phones.set(number, phone);
  $('phones').append(made);
  entries.filter((entry) => entry.phone === number).forEach((entry) => showOnPhone(phone, entry));
  keepNumbers();
}

function closePhone(phone) {
  phones.delete(phone.number);
  phone.element.remove();
  keepNumbers();
}

function keepNumbers() {
  try {
    sessionStorage.setItem(remembered, JSON.stringify([...phones.keys()]));
  } catch { /* a reload will offer one phone */ }
}

function keptNumbers() {
  try {
    return JSON.parse(sessionStorage.getItem(remembered)) || [];
  } catch {
    return [];
  }
}

// send keeps the order of what is typed fast: one message at a time.
function send(phone, session) {
  const content = phone.input.value;
  phone.input.value = '';
  phone.sending = (phone.sending || Promise.resolve()).then(async () => {
    const slow = setTimeout(() => complain(phone, { problem: 'Still sending: the broker is slow to take it.' }), 1000);
    const done = await post('messages', { from: phone.number, to: $('to').value, content, session });
    clearTimeout(slow);
    complain(phone, done);
    if (done.problem && !phone.input.value) phone.input.value = content;
  });
}

function complain(phone, done) {
  phone.problem.textContent = done.problem || '';
  phone.problem.hidden = !done.problem;
}

const notes = {
  'inbound new': 'session started', 'inbound close': 'you ended the session', 'outbound close': 'the application ended the session',
};

function showOnPhone(phone, entry) {
  const talk = phone.talk;
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
  if (entry.content) talk.append(element('li', entry.flow, entry.content));
  else if (entry.session === 'resume' || entry.flow === 'outbound') talk.append(element('li', entry.flow, '\u00a0'));
  const note = notes[entry.flow + ' ' + entry.session];
  if (note) talk.append(element('li', 'note', note));
  if (entry.session) setSession(phone, entry.session !== 'close');
  if (atEnd) talk.scrollTop = talk.scrollHeight;
}

function setSession(phone, on) {
  phone.session = on;
  phone.sessionButton.textContent = on ? 'End session' : 'Start session';
  phone.sessionButton.setAttribute('aria-pressed', String(on));
}

// --- the log of all phones

function showInLog(entry) {
  const row = element('li', entry.flow);
  const time = element('time', '', new Date(entry.time).toLocaleTimeString([], { hourCycle: 'h23' }));
  time.dateTime = entry.time;
  const way = element('span', 'way');
  const who = element('button', '', entry.phone);
  who.type = 'button';
  who.title = 'Open this phone';
  who.addEventListener('click', () => openPhone(entry.phone, true));
  way.append(who, ' ', element('span', '', (entry.flow === 'inbound' ? '→ ' : '← ') + entry.other));
  const text = entry.content + (entry.session ? ' (' + entry.session + ')' : '');
  row.append(time, way, element('span', 'text', text));
  row.dataset.phone = entry.phone;
  $('log').prepend(row);
  if ($('log').childElementCount > maxEntries) $('log').lastElementChild.remove();
  $('empty').hidden = true;
}

function forget(number) {
  const concerns = (other) => !number || other === number;
  for (let i = entries.length - 1; i >= 0; i--) if (concerns(entries[i].phone)) entries.splice(i, 1);
  for (const row of [...$('log').children]) if (concerns(row.dataset.phone)) row.remove();
  for (const phone of phones.values()) if (concerns(phone.number)) phone.talk.replaceChildren();
  $('empty').hidden = $('log').childElementCount > 0;
}

// --- the stream

function take(entry) {
  if (entry.flow === 'clear') return forget(entry.phone);
  entries.push(entry);
  if (entries.length > maxEntries) entries.shift();
  showInLog(entry);
  const phone = phones.get(entry.phone);
  if (phone) showOnPhone(phone, entry);
}

function link(state, text) {
  $('link').dataset.state = state;
  $('link-text').textContent = text;
}

// listen gets Last-Event-ID handled by the browser, save where the transport
// answered with an error: then EventSource gives up, and we begin again.
function listen() {
  const source = new EventSource('events');
  source.onopen = () => link('live', 'live');
  source.addEventListener('reset', () => {
    forget('');
    for (const phone of phones.values()) setSession(phone, false);
  });
  source.onmessage = (event) => take(JSON.parse(event.data));
  source.onerror = () => {
    link('waiting', 'reconnecting');
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  };
  addEventListener('pagehide', () => source.close(), { once: true });
}

// --- the page

// The server's own numbers are within those reserved for fiction; so are these.
function randomNumber() {
  const digits = (count) => String(Math.floor(Math.random() * 10 ** count)).padStart(count, '0');
  return '+1' + (200 + Math.floor(Math.random() * 800)) + '55501' + digits(2);
}

$('another').addEventListener('click', () => { $('number').value = randomNumber(); });
$('open').addEventListener('submit', (event) => {
  event.preventDefault();
  openPhone($('number').value, true);
  $('number').value = randomNumber();
});
$('clear-all').addEventListener('click', () => post('clear', {}));
$('bulk').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button');
  button.disabled = true;
  const last = [...phones.keys()].pop() || '';
  const done = await post('bulk', { lines: $('lines').value, from: last, to: $('to').value });
  $('bulk-result').textContent = done.problem || done.text;
  if (!done.problem) $('lines').value = '';
  button.disabled = false;
});

const kept = keptNumbers();
if (kept.length) {
  kept.forEach((number) => openPhone(number, false));
} else {
  openPhone(document.body.dataset.suggestion, matchMedia('(hover: hover)').matches);
  $('number').value = randomNumber();
}
listen();
