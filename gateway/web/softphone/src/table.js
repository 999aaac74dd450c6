// Tables looked up with what a peer sent: without a prototype, "constructor" is not in them.
export const table = (entries) => Object.freeze(Object.assign(Object.create(null), entries));
