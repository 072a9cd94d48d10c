// ---------------------------------------------------------------- which do you prefer?
// The page shows two cells of one pair side by side, without their names. It chooses the two whose
// answer is most informative: of similar strength (Bradley and Terry 1952) and with few votes.

const VOTES = "nst-gallery-votes";
const VOTER = "nst-gallery-voter";
const SIDES = ["left", "right"];
const ANSWERS = [...SIDES, "neither"];
const MOST_WEIGHED = 100; // cells of a pair; more are sampled
// Cells with equal settings are one picture under several names.
const byFingerprint = new Map(cells.filter((cell) => !cell.failed && cell.fingerprint).map((cell) => [cell.fingerprint, cell]));
const votable = [...grouped([...byFingerprint.values()], pairOf).values()].filter((group) => group.length > 1);
let votes = readVotes(recall(VOTES));
let asked = null;
let saved = "[]"; // the votes in the last file

function readVotes(text) {
  try {
    return JSON.parse(text || "[]").filter((one) => ANSWERS.includes(one?.chosen) && SIDES.every((side) => typeof one[side] === "string"));
  } catch {
    return []; // not written by this page
  }
}

// Only the votes of this gallery: the browser also stores votes of other galleries.
const votesHere = () => votes.filter((one) => SIDES.every((side) => byFingerprint.has(one[side])));

// The two cells of a group whose answer is most informative: the outcome's variance p (1 - p) times
// the variance of the difference of strengths. A strength's variance is the inverse of its
// information, which is the sum over its votes plus 1/4 for the prior.
function nextOf(group, given) {
  const index = new Map(group.map((cell, i) => [cell.fingerprint, i]));
  const score = group.map(() => group.map(() => 0));
  for (const { left, right, chosen } of given) {
    if (!index.has(left) || !index.has(right)) continue;
    const [i, j] = [index.get(left), index.get(right)];
    const won = { left: 1, right: 0 }[chosen] ?? 0.5;
    score[i][j] += won;
    score[j][i] += 1 - won;
  }
  const strength = strengths(score);
  const chance = (i, j) => strength[i] / (strength[i] + strength[j]);
  const known = group.map((_, i) => group.reduce((sum, _, j) =>
    sum + (score[i][j] + score[j][i]) * chance(i, j) * chance(j, i), 0.25));
  let best = { worth: -1 };
  for (let i = 1; i < group.length; i += 1) {
    for (let j = 0; j < i; j += 1) {
      // The noise puts equal pairs in random order. The last pair is not shown again at once.
      const again = given.length && SIDES.every((side) => [i, j].includes(index.get(given.at(-1)[side])));
      const worth = again ? 0 : chance(i, j) * chance(j, i) * (1 / known[i] + 1 / known[j]) * (1 + Math.random() / 1e3);
      if (worth > best.worth) best = { worth, two: [group[i], group[j]] };
    }
  }
  return best;
}

// Strengths by the iteration of Hunter (2004). Each cell has one win and one loss against a cell
// of strength 1, so that a cell without losses has a finite strength.
function strengths(score) {
  let strength = score.map(() => 1);
  for (let round = 0; round < 60; round += 1) {
    strength = strength.map((own_, i) => {
      const won = score[i].reduce((sum, one) => sum + one, 1);
      const against = score.reduce((sum, row, j) => sum + (score[i][j] + row[i]) / (own_ + strength[j]), 2 / (own_ + 1));
      return won / against;
    });
  }
  return strength;
}

// A random sample of a large group, since the work grows with the square of its size.
function some(group) {
  if (group.length <= MOST_WEIGHED) return group;
  return Array.from({ length: MOST_WEIGHED }, (_, i) => {
    const [from, to] = [i, i + 1].map((one) => Math.floor(one * group.length / MOST_WEIGHED));
    return group[from + Math.floor(Math.random() * (to - from))];
  });
}

function ask() {
  const given = votesHere();
  const best = votable.map((group) => nextOf(some(group), given)).reduce((one, other) => (other.worth > one.worth ? other : one));
  asked = Math.random() < 0.5 ? best.two : [...best.two].reverse();
}

function voteView() {
  if (!votable.length) {
    return [el("h2", {}, "Vote"), el("p", { class: "empty" }, "There is nothing to vote on: no pair has two finished cells.")];
  }
  if (!asked) ask();
  const voter = el("input", { type: "text", id: "voter", maxlength: "80", autocomplete: "off", spellcheck: "false", value: recall(VOTER) || "", oninput: (event) => keep(VOTER, event.target.value) });
  return [
    el("div", { class: "view-head" }, el("h2", {}, "Which do you prefer?")),
    el("div", { id: "ballot" }, ballot()),
    el("div", { class: "voter" }, el("label", { class: "field" }, el("span", {}, "Your name"), voter),
      exportButton("Save the votes as JSON", saveVotes),
      el("button", { type: "button", class: "quiet", id: "start-again", onclick: startAgain }, "Start again")),
    el("p", { class: "hint" }, "The keys ←, → and N vote left, right and neither; Backspace undoes the last vote. The pictures have no names, so that you judge what you see. Before another person votes in this browser, save your votes and start again."),
  ];
}

function ballot() {
  const [content, style] = [contents.get(asked[0].content), styles.get(asked[0].style)];
  const given = votesHere().length;
  return [
    el("div", { class: "models" }, model("Content", content), model("Style", style)),
    el("div", { class: "two" }, asked.map((cell, i) => el("button", {
      type: "button", class: "candidate", "data-vote": SIDES[i], "aria-label": `Vote for the ${SIDES[i]} picture`, onclick: () => vote(SIDES[i]),
    }, el("img", { src: cell.preview, alt: `The ${SIDES[i]} picture`, width: cell.width, height: cell.height })))),
    el("div", { class: "answers" },
      answer("left", "← Left"), answer("neither", "Neither (N)"), answer("right", "Right →")),
    el("p", { class: "outcome" }, el("span", { id: "votes-given" }, plural(given, "vote")),
      el("button", { type: "button", class: "quiet", "data-vote": "undo", disabled: !given, onclick: takeBack }, "Undo the last vote")),
  ];
}

function model(label, subject) {
  return el("figure", {}, subject.preview ? el("img", { src: subject.preview, alt: `The ${label.toLowerCase()}: ${subject.title}` }) : null,
    el("figcaption", {}, `${label}: `, own(subject.title)));
}

function answer(chosen, text) {
  return el("button", { type: "button", class: "quiet", "data-answer": chosen, onclick: () => vote(chosen) }, text);
}

function vote(chosen) {
  const [left, right] = asked.map((cell) => cell.fingerprint);
  setVotes((stored) => [...stored, { left, right, chosen }], chosen === "neither" ? "Neither" : `The ${chosen} one`);
  ask();
  showBallot();
}

function takeBack() {
  const last = votesHere().at(-1);
  if (!last) return;
  asked = SIDES.map((side) => byFingerprint.get(last[side]));
  const isLast = (one) => [...SIDES, "chosen"].every((name) => one[name] === last[name]);
  setVotes((stored) => {
    const at = stored.map(isLast).lastIndexOf(true);
    return stored.filter((_, i) => i !== at);
  }, "Vote undone");
  showBallot();
}

// Reads the stored votes first, since another tab may have added some.
function setVotes(change, said) {
  votes = change(kept ? readVotes(recall(VOTES)) : votes);
  keep(VOTES, JSON.stringify(votes));
  if (kept) announce(`${said}. ${plural(votesHere().length, "vote")}`);
  else warn("This browser stores nothing for pages opened from disk: votes last until the page is closed. Save them to keep them.");
}

function showBallot() {
  const { vote: voted, answer: answered } = document.activeElement?.dataset ?? {};
  byId("ballot").replaceChildren(...ballot());
  const name = answered ? `[data-answer="${answered}"]` : voted && `[data-vote="${voted}"]`;
  if (name) byId("ballot").querySelector(name)?.focus();
}

function saveVotes() {
  const voter = byId("voter").value.trim();
  if (!voter) {
    warn("Enter a name first. It distinguishes your votes from other voters'.");
    byId("voter").focus();
    return;
  }
  const given = votesHere().map((one) => {
    const { content, style } = byFingerprint.get(one.left);
    return { content, style, ...one };
  });
  if (!given.length) {
    warn("There are no votes to save. Choose a picture first.");
    return;
  }
  saved = JSON.stringify(votesHere());
  const file = plain(voter).replace(/[^\p{Letter}\p{Number}]+/gu, "-").replace(/^-+|-+$/g, "") || "voter";
  download(`votes-${file}.json`, "application/json", `${JSON.stringify({ format: "nst-votes-1", voter, votes: given })}\n`);
}

function startAgain() {
  if (JSON.stringify(votesHere()) !== saved) {
    warn("Save your votes first. Starting again removes them from this browser.");
    return;
  }
  setVotes((stored) => stored.filter((one) => !SIDES.every((side) => byFingerprint.has(one[side]))), "All votes removed");
  saved = "[]";
  keep(VOTER, "");
  ask();
  showView();
}

window.addEventListener("storage", (event) => {
  if (event.key !== VOTES) return;
  votes = readVotes(event.newValue);
  if (get("view") === "vote" && votable.length) showBallot();
});

const VOTED_BY = { ArrowLeft: () => vote("left"), ArrowRight: () => vote("right"), n: () => vote("neither"), Backspace: takeBack };

document.addEventListener("keydown", (event) => {
  const act = VOTED_BY[event.key.length > 1 ? event.key : event.key.toLowerCase()];
  if (get("view") !== "vote" || !votable.length || !act || event.repeat || byId("full").open) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.target.matches("input")) return;
  event.preventDefault();
  act();
});
