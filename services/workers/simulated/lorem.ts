const SUBJECTS = [
  'A quiet harbour',
  'The night train',
  'An old lighthouse',
  'The long river',
  'A patient gardener',
  'The city library',
  'A flock of swifts',
  'The morning ferry',
  'A narrow bridge',
  'The mountain village',
  'An early frost',
  'The clockmaker',
  'A distant thunderstorm',
  'The baker on the corner',
];
const VERBS = [
  'watches over',
  'remembers',
  'slowly changes',
  'gives a name to',
  'carries news of',
  'listens to',
  'waits for',
  'makes room for',
  'never quite forgets',
  'draws a line around',
  'counts',
  'borrows its colour from',
];
const OBJECTS = [
  'the first light of the day',
  'every boat that passes',
  'a hundred small errands',
  'the stories people tell',
  'the market square',
  'the silence after the rain',
  'fields that nobody owns',
  'a letter without a stamp',
  'the turning of the year',
  'two kinds of weather',
  'the road to the coast',
  'whoever comes home late',
];
const ENDINGS = [
  '',
  '',
  ' before the tide comes in',
  ', and nobody seems to mind',
  ' while the kettle sings',
  ', as it did a year ago',
  ' in its own good time',
  ', though not for long',
  ' until the lamps are lit',
];
const OPENINGS = [
  '',
  '',
  '',
  'Meanwhile, ',
  'Now and then, ',
  'On most days, ',
  'Some say that ',
  'By evening, ',
  'Even so, ',
];

/** Sentences, four to six a paragraph, until the text has so many characters. The same `random`, the same text. */
export function loremText(random: () => number, minChars: number): string {
  let text = '';
  let leftInParagraph = 0;
  while (text.length < minChars) {
    if (leftInParagraph === 0) {
      leftInParagraph = 4 + Math.floor(random() * 3);
      if (text !== '') text += '\n\n';
    } else {
      text += ' ';
    }
    text += sentence(random);
    leftInParagraph--;
  }
  return text;
}

function sentence(random: () => number): string {
  const pick = (words: readonly string[]): string => words[Math.floor(random() * words.length)] as string;
  const opening = pick(OPENINGS);
  const subject = pick(SUBJECTS);
  const start = opening === '' ? subject : opening + subject.charAt(0).toLowerCase() + subject.slice(1);
  return `${start} ${pick(VERBS)} ${pick(OBJECTS)}${pick(ENDINGS)}.`;
}
