"""Stopwords: grammatical words, and words common in exam questions.

A word run shared by two questions is evidence only if it contains other words too: "Which of the following best describes
the value of x" occurs in any exam.
"""

GRAMMAR = """
a about above after again against all also although am an and any are as at be because been before being below between both but by
can cannot could did do does doing done down during each either else ever every few for from further get given gives giving had has
have having he her here hers him his how however i if in into is it its itself just less let lets like made make makes many may me
might more most much must my neither no nor not now of off on once one only onto or other others our out over own per same shall
she should since so some such than that the their them then there these they this those through thus to together too under until
up upon us use used uses using very via was way we well were what when where whether which while who whom whose why will with
within without would yes yet you your two three four five six seven eight nine ten first second third last next
"""

EXAMINATION = """
according add after amount answer answers appropriate argument as assume assuming average based best calculate called case cases
choice choices choose class common compare complete completes compute concept consider consists consisting contain contains
contrast correct correctly data decimal define defined definition degrees denominator describe described describes description
detail determine different discuss distinct draw effect equal equals equation equations error evaluate evidence exactly example
examples except explain explanation express expressed expression factor factors false figure final find first following follows
form fraction function functions general have highest hint hours identify implies important include includes including input
integer integers interpret items known largest least letter likely line list long lowest main maximum mean means measure method
minimum minutes multiple name nearest need negative nonnegative nonzero number numbers numerator object objects occur option
options order output outputs pair parameter parameters part particular passage perform person place point points positive possible
prime primes principle probability problem problems process product program prove provide provided python question questions
radical ratio read real reason reasoning reasons relatively respectively represent represents required result results return
returned returns role rounded say score select sentence sentences sequence set sets show shown shows sides simplest simplified
simplify single situation smallest solution solutions solve some state stated statement statements step steps string student
students sum suppose table take taken takes task term terms test text think time times total true truth type types units unknown
value values variable variables whole word words work write writing written year years
code def elif import int list none params print self str true tuple typing zero
"""

STOPWORDS = frozenset((GRAMMAR + EXAMINATION).split())
